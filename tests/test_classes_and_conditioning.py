"""Class probabilities and conditioning with logits or observations of any scale, certain, repeated or nan."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastmoments as fm  # noqa: E402

D = torch.float64
SINGULAR = torch.ones(3, 3, dtype=D)
FULL = torch.tensor([[1.0, 0.3, 0.2], [0.3, 2.0, 0.1], [0.2, 0.1, 0.5]], dtype=D)


def softmax_mean(mean, cov):
    """E softmax by Gauss-Hermite quadrature with 24 nodes per dimension."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    z = np.stack(np.meshgrid(nodes, nodes, nodes), -1).reshape(-1, 3) @ np.linalg.cholesky(cov).T + mean
    p = np.exp(z - z.max(1, keepdims=True))
    return np.einsum("i,j,k->ijk", weights, weights, weights).reshape(-1) @ (p / p.sum(1, keepdims=True))


@pytest.mark.parametrize("cov", [FULL, torch.eye(3, dtype=D), SINGULAR, 0.0 * SINGULAR])
def test_probabilities_have_derivatives_at_any_covariance(cov):
    """Derivatives exist at equal and at zero eigenvalues too; along cov they equal differences within the cone."""
    mean = np.array([0.3, -0.2, 0.1])
    given = cov.clone().requires_grad_()
    fm.nn.class_probabilities(torch.tensor(mean), given)[0].backward()
    inside, step = cov.numpy() + 1e-3 * np.eye(3), 1e-4
    for i, j in ((0, 0), (1, 1), (0, 1), (1, 2)):
        change = np.zeros((3, 3))
        change[i, j] = change[j, i] = step
        slope = (softmax_mean(mean, inside + change) - softmax_mean(mean, inside - change))[0] / (2 * step)
        found = given.grad[i, j] + (given.grad[j, i] if i != j else 0.0)
        # 1e-3 away, and the error of 4096 points
        np.testing.assert_allclose(found, slope, rtol=0, atol=1e-3 * 0.2 + 1e-4)


def test_derivatives_by_torch_func_and_none_of_second_order():
    mean = torch.tensor([0.3, -0.2, 0.1], dtype=D)

    def first(cov):
        return fm.nn.class_probabilities(mean, cov)[0]

    slope = torch.func.grad(first)(FULL)
    assert slope.abs().min() > 1e-3
    tangent = torch.func.jvp(first, (FULL,), (SINGULAR,))[1]
    # two ways to the same sum
    np.testing.assert_allclose(tangent, (slope * SINGULAR).sum(), rtol=0, atol=1e-13)
    by_mean = torch.func.hessian(lambda m: fm.nn.class_probabilities(m, FULL)[0])(mean)
    # Price: each is an average over the same points
    np.testing.assert_allclose(0.5 * by_mean, slope, rtol=0, atol=1e-13)
    with pytest.raises(NotImplementedError, match="first derivatives along cov only"):
        torch.autograd.functional.hessian(first, FULL)


@pytest.mark.parametrize("k", [2, 3])
def test_equal_logits_share_and_nan_stays_in_its_row(k):
    mean, cov = torch.zeros(3, k), torch.zeros(3, k, k)
    mean[0, 1], mean[2, 0], cov[1] = 1.0, float("nan"), 0.0
    # 4096 equal numbers added in pairs round 12 times, after a few roundings of each
    rounding = 16 * torch.finfo(mean.dtype).eps
    for link in ("softmax", "argmax"):
        found = fm.nn.class_probabilities(mean, cov, link)
        want = torch.softmax(mean, -1)[0] if link == "softmax" else torch.eye(k)[1]
        torch.testing.assert_close(found[0], want, rtol=0.0, atol=rounding)
        torch.testing.assert_close(found[1], torch.full((k,), 1 / k), rtol=0.0, atol=rounding)
        assert found[2].isnan().all()
    cov[2] = float("nan")
    assert fm.nn.class_probabilities(torch.zeros(3, k), cov)[:2].isfinite().all()


def test_rounding_is_no_negative_variance_and_an_indefinite_cov_is_nan():
    cov = torch.tensor([[0.1, 0.10000001], [0.10000001, 0.1]])
    assert fm.nn.class_probabilities(torch.tensor([0.0, 1.0]), cov, "argmax").tolist() == [0.0, 1.0]
    for k in (2, 3):
        indefinite = 2.0 * torch.ones(k, k) - torch.eye(k)
        for link in ("softmax", "argmax"):
            assert fm.nn.class_probabilities(torch.arange(k).float(), indefinite, link).isnan().all()


def test_the_upper_triangle_is_read_where_rounding_made_them_differ():
    upper = FULL - 1e-15 * torch.tril(torch.ones(3, 3, dtype=D), -1)
    assert not torch.equal(upper, upper.mT)
    for link in ("softmax", "argmax"):
        want = fm.nn.class_probabilities(torch.zeros(3, dtype=D), FULL, link)
        assert torch.equal(fm.nn.class_probabilities(torch.zeros(3, dtype=D), upper, link), want)
    mean, values = torch.zeros(3, dtype=D), [1.0]
    for found, want in zip(
        fm.nn.condition(mean, upper, [0], values), fm.nn.condition(mean, FULL, [0], values), strict=True
    ):
        assert torch.equal(found, want)


@pytest.mark.parametrize("noise", [None, 0.1])
def test_conditioning_on_what_is_of_other_scales(noise):
    """Scales that are powers of two change results by exact factors."""
    scales = torch.tensor([2.0**-30, 1.0, 2.0**40], dtype=D)
    seen, values = [0, 2], torch.tensor([0.7, -0.3], dtype=D)
    noise = None if noise is None else noise * torch.eye(2, dtype=D)
    mean, cov = fm.nn.condition(torch.zeros(3, dtype=D), FULL, seen, values, noise)
    outer = torch.outer(scales, scales)
    scaled = None if noise is None else noise * outer[seen][:, seen]
    found = fm.nn.condition(torch.zeros(3, dtype=D), FULL * outer, seen, values * scales[seen], scaled)
    torch.testing.assert_close(found.mean / scales, mean, rtol=1e-13, atol=0.0)
    torch.testing.assert_close(found.cov / outer, cov, rtol=1e-13, atol=1e-15)
    if noise is None:
        assert torch.equal(found.mean[seen], values * scales[seen])


def test_what_was_seen_by_mask_list_or_not_at_all():
    mean, values = torch.zeros(3, dtype=D), torch.tensor([1.0, -1.0], dtype=D)
    want = fm.nn.condition(mean, FULL, torch.tensor([0, 2]), values)
    for observed in ([True, False, True], torch.tensor([True, False, True]), [0, -1]):
        for found, expected in zip(fm.nn.condition(mean, FULL, observed, [1.0, -1.0]), want, strict=True):
            assert torch.equal(found, expected)
    nothing = fm.nn.condition(mean, FULL, [], [])
    assert torch.equal(nothing.mean, mean) and torch.equal(nothing.cov, FULL)


def test_half_precision_computes_in_float32():
    for dtype in (torch.float16, torch.bfloat16):
        mean, cov = torch.tensor([0.5, 0.0, -0.5], dtype=dtype), FULL.to(dtype)
        found = fm.nn.class_probabilities(mean, cov)
        assert torch.equal(found, fm.nn.class_probabilities(mean.float(), cov.float()).to(dtype))
        given = fm.nn.condition(mean, cov, [1], [2.0])
        for one, other in zip(given, fm.nn.condition(mean.float(), cov.float(), [1], [2.0]), strict=True):
            assert torch.equal(one, other.to(dtype))


MEAN = torch.zeros(3, dtype=D)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "mean: expected a tensor, got ndarray", lambda: fm.nn.class_probabilities(np.zeros(3), FULL)),
        (TypeError, "mean is float32 but cov", lambda: fm.nn.class_probabilities(MEAN.float(), FULL)),
        (ValueError, "cov: its diagonal must", lambda: fm.nn.class_probabilities(MEAN, -FULL)),
        (ValueError, "cov: its diagonal must", lambda: fm.nn.class_probabilities(MEAN[:2], -FULL[:2, :2])),
        (
            ValueError,
            r"got mean \(5,\), cov \(4,\)",
            lambda: fm.nn.class_probabilities(MEAN.expand(5, 3), FULL.expand(4, 3, 3)),
        ),
        (ValueError, "samples: expected at least one", lambda: fm.nn.class_probabilities(MEAN, FULL, samples=0)),
        (ValueError, r"values: expected shape \(..., 2\)", lambda: fm.nn.condition(MEAN, FULL, [0, 1], [1.0])),
        (
            ValueError,
            r"noise_cov: expected shape \(..., 2, 2\), got \(2,\)",
            lambda: fm.nn.condition(MEAN, FULL, [0, 1], [1.0, 2.0], [0.1, 0.2]),
        ),
        (TypeError, "observed: expected integers", lambda: fm.nn.condition(MEAN, FULL, [0.5], [1.0])),
        (IndexError, "observed: expected indices of 3 entries", lambda: fm.nn.condition(MEAN, FULL, [3], [1.0])),
        (TypeError, "mean is float64 but values", lambda: fm.nn.condition(MEAN, FULL, [0], torch.zeros(1))),
    ],
)
def test_what_is_wrong_is_named(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_one_triangle_is_refused_by_its_name():
    """A Cholesky factor, of logits, of what is conditioned or of noise; rounding passes, and gradients with it."""
    factor, two = torch.linalg.cholesky(FULL), torch.linalg.cholesky(FULL[:2, :2])
    mean = torch.zeros(3, dtype=D)
    with pytest.raises(ValueError, match=r"cov: expected a symmetric matrix, but cov\[.*pass L @ L\.mT"):
        fm.nn.class_probabilities(mean, factor)
    with pytest.raises(ValueError, match=r"cov: expected a symmetric matrix"):
        fm.nn.condition(mean, factor.requires_grad_(), [0], [1.0])
    for noise in (two, two.tolist()):
        with pytest.raises(
            ValueError, match=r"noise_cov: expected a symmetric matrix, but noise_cov\[0, 1\] = 0\.0"
        ):
            fm.nn.condition(mean, FULL, [0, 1], [1.0, 2.0], noise)
    with pytest.raises(ValueError, match="noise_cov: its diagonal must hold variances >= 0"):
        fm.nn.condition(mean, FULL, [0], [1.0], [[-1.0]])
    single = FULL.float()
    single[1, 0] += 2e-8
    assert single[1, 0] != single[0, 1]
    assert fm.nn.class_probabilities(mean.float(), single).sum() == pytest.approx(1.0)
    assert fm.nn.condition(mean.bfloat16(), FULL.bfloat16(), [0], [1.0]).mean.dtype == torch.bfloat16
