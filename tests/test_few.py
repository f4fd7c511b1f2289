"""Layers of few neurons on batches, in one compiled pass: exact sums, to the bit; rounding; shapes; what serves."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels import serving
from tests.settings import chosen

DTYPES = ("float32", "float64")
# (m, n): one, less than a vector, ragged, whole panels, the largest; more rows than columns and the reverse
SHAPES = ((1, 1), (1, 5), (5, 1), (2, 33), (7, 3), (16, 16), (32, 8), (17, 33), (64, 64))


def integers(shape, seed, most=3):
    """Small whole numbers: sums of their products are exact in float32."""
    return np.random.default_rng(seed).integers(-most, most + 1, shape)


def covariances(batch, n, seed=0):
    """Exact covariances of whole numbers."""
    root = integers((batch, n, max(n // 8, 1) + 1), seed, 1)
    return root @ root.mT


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_whole_numbers_are_exact(shape, dtype):
    (m, n), batch = shape, 5
    cov, weight, skip = covariances(batch, n), integers((m, n), 1), integers((m, n), 2)
    given = [x.astype(dtype) for x in (cov, weight, skip)]
    upper = np.where(np.tri(n, k=-1, dtype=bool), np.nan, given[0]).astype(dtype)
    found = fm.affine_moments(np.zeros((batch, n), dtype), upper, given[1])
    wanted = weight @ cov @ weight.T
    assert found.cov.dtype == dtype and np.array_equal(found.cov, wanted)
    gains = integers((batch, m), 3)
    half = gains[..., None] * (weight @ cov @ skip.T)
    full = found.cov.copy()
    assert serving.congruence(given[0], given[1], gains.astype(dtype), given[2], full, True) is not None
    assert np.array_equal(full, wanted + half + half.mT + skip @ cov @ skip.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_any_numbers(shape, dtype):
    """Both sums of n products, of two rounded factors, and the mean: n + 1 half units each of the absolute sums."""
    (m, n), rng = shape, np.random.default_rng(4)
    root = rng.normal(size=(7, n, n))
    cov, weight = (root @ root.mT).astype(dtype), rng.normal(size=(m, n)).astype(dtype)
    exact = np.triu(cov).astype(np.longdouble) + np.triu(cov, 1).mT
    wanted = weight.astype(np.longdouble) @ exact @ weight.T.astype(np.longdouble)
    scale = np.abs(weight) @ np.abs(exact).astype(float) @ np.abs(weight).T
    found = fm.affine_moments(np.zeros((7, n), dtype), cov, weight).cov
    assert np.array_equal(found, found.mT)
    assert np.all(np.abs(found - wanted) <= (n + 1) * np.finfo(dtype).eps * scale)


def wide_layer(dtype="float64", lead=(6,)):
    rng = np.random.default_rng(5)
    root = rng.normal(size=(*lead, 8, 8))
    cov = (root @ root.mT).astype(dtype)
    cov = np.triu(cov) + np.triu(cov, 1).mT
    A, C = rng.normal(size=(2, 32, 8)).astype(dtype)
    return rng.normal(size=(*lead, 8)).astype(dtype), cov, A, rng.normal(size=32).astype(dtype), C


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_is_removed(dtype):
    """Opposite rows, rows that cancel, and a variance of 0: no variance below 0, no covariance beyond both sds."""
    rng, eps = np.random.default_rng(6), np.finfo(dtype).eps
    root = rng.normal(size=(50, 5, 2))
    cov = (root @ root.mT).astype(dtype)
    cov = np.triu(cov) + np.triu(cov, 1).mT
    weight = rng.normal(size=(12, 5)).astype(dtype)
    weight[1], weight[2], weight[3] = -weight[0], 1e-7 * weight[0], 0.0
    cov[1:, 4] = cov[1:, :, 4] = 0.0
    weight[4] = [0.0, 0.0, 0.0, 0.0, 1.0]
    # of rank 1: what is orthogonal to it has no variance but rounding
    direction = rng.normal(size=5).astype(dtype)
    cov[0] = np.outer(direction, direction)
    for k in range(5, 12):
        other = np.roll(direction, 1) * np.array([1, -1, 1, -1, 0.5], dtype)
        weight[k] = (1 + k) * (direction * (other @ direction) - other * (direction @ direction))
    found = fm.affine_moments(np.zeros((50, 5), dtype), cov, weight).cov
    var = np.einsum("bii->bi", found)
    assert np.all(var >= 0.0)
    sd = np.sqrt(var.astype(float))
    assert np.all(np.abs(found) <= sd[:, :, None] * sd[:, None] * (1 + (16 * 12 + 4) * eps))
    assert np.array_equal(found, found.mT)
    # nothing is moved further than rounding: kernels report what is
    wanted = weight.astype(np.longdouble) @ cov.astype(np.longdouble) @ weight.T.astype(np.longdouble)
    reach = (np.sqrt(np.einsum("bii->bi", cov)) @ np.abs(weight).T) ** 2
    assert np.all(np.abs(found - wanted).max((1, 2)) <= 3 * 12 * eps * reach.sum(-1))
    negative = np.array([[[1.0, 2.0], [2.0, 1.0]]], dtype)
    assert fm.affine_moments(np.zeros(2, dtype), negative, np.array([[1, -1]], dtype)).cov[0, 0, 0] == -2.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_matrix_is_as_many(dtype):
    """Any leading shape, layout and memory; inputs stay as they are; nan stays in its matrix."""
    mu, cov, A, b, C = wide_layer(dtype)
    before = [x.copy() for x in (mu, cov, A, b, C)]

    def both(mu, cov, A=A, b=b, C=C):
        return *fm.affine_moments(mu, cov, A, b), *fm.residual_moments("relu", mu, cov, A, b, C)

    wanted = both(mu, cov)
    for x in (mu, cov, A, b, C):
        x.flags.writeable = False
    strided = np.repeat(cov, 2, axis=-1)[..., ::2], np.asfortranarray(A), np.repeat(C, 2, axis=0)[::2]
    given = {
        "lead": both(mu.reshape(2, 1, 3, 8), cov.reshape(2, 1, 3, 8, 8)),
        "strided": both(mu[::-1][::-1], strided[0], strided[1], b, strided[2]),
        "fortran": both(np.asfortranarray(mu), np.asfortranarray(cov)),
    }
    for name, found in given.items():
        for got, want in zip(found, wanted, strict=True):
            assert got.dtype == dtype and np.array_equal(got.reshape(want.shape), want), name
    assert all(map(np.array_equal, (mu, cov, A, b, C), before))
    for m, c, want in zip(mu, cov, wanted[1], strict=True):
        assert np.array_equal(fm.affine_moments(m, c, A, b).cov, want)
    for empty in ((0,), (2, 0, 3)):
        found = both(np.zeros((*empty, 8), dtype), np.zeros((*empty, 8, 8), dtype))
        assert [x.shape for x in found] == [(*empty, 32), (*empty, 32, 32)] * 2
    shared = both(mu, cov[0])
    for got, want in zip(shared, both(mu, np.broadcast_to(cov[0], cov.shape)), strict=True):
        assert np.array_equal(got, want)
    broken = cov.copy()
    broken[2, 1, 3] = np.nan
    for got, want in zip(fm.affine_moments(mu, broken, A, b), fm.affine_moments(mu, cov, A, b), strict=True):
        assert np.array_equal(np.delete(got, 2, 0), np.delete(want, 2, 0))
    assert np.isnan(fm.affine_moments(mu, broken, A, b).cov[2]).any()


def test_sums_of_any_layout_are_added_to():
    """The covariance of f(A X) is added to wherever its numbers lie; batches of two dimensions as well."""
    from fastmoments.frameworks import few

    cov, A, C = covariances(6, 3).astype(float), *integers((2, 4, 3), 1).astype(float)
    gains, full = integers((6, 4), 2).astype(float), covariances(6, 4, 3).astype(float)
    half = gains[..., None] * (A @ cov @ C.T)
    wanted = (full + half + half.mT + C @ cov @ C.T).reshape(2, 3, 4, 4)
    lead = cov.reshape(2, 3, 3, 3), gains.reshape(2, 3, 4), full.reshape(2, 3, 4, 4)
    layouts = np.asfortranarray(lead[2]), np.repeat(lead[2], 2, -1)[..., ::2], lead[2][::-1].copy()[::-1]
    for given in layouts:
        assert not given.flags.c_contiguous
        found = few.congruence(A, lead[0], lead[1], C, given)
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("skip", ["matrix", "identity", None])
def test_the_same_without_the_kernel(skip, dtype):
    """NumPy's products serve where nothing may be compiled; both are within rounding of the absolute sums."""
    mu, cov, A, b, C = wide_layer(dtype)
    A = A if skip != "identity" else A[:8]
    given = mu, cov, A, b[: len(A)], C if skip == "matrix" else skip
    options = {"A_var": np.abs(A), "return_cross": True}
    found = fm.residual_moments("relu", *given, **options)
    with chosen("never"):
        wanted = fm.residual_moments("relu", *given, **options)
    scale = np.abs(A).sum(-1) ** 2 * np.abs(cov).max()
    for got, want in zip(found, wanted, strict=True):
        assert np.max(np.abs(got - want)) <= 64 * np.finfo(dtype).eps * scale.max()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_have_the_same_bits(threads, monkeypatch):
    mu, cov, A, b, _ = wide_layer(lead=(41,))
    wanted = fm.affine_moments(mu, cov, A, b).cov
    monkeypatch.setattr("fastmoments_kernels.cpu.layers.SMALL", 0)
    monkeypatch.setattr("fastmoments_kernels.threads._threads", threads)
    assert np.array_equal(fm.affine_moments(mu, cov, A, b).cov, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_are_arrays(dtype):
    torch = pytest.importorskip("torch")
    given = wide_layer(dtype)
    tensors = [torch.from_numpy(x) for x in given]
    bare = [*fm.affine_moments(*tensors[:4]), *fm.residual_moments("relu", *tensors)]
    wanted = [*fm.affine_moments(*given[:4]), *fm.residual_moments("relu", *given)]
    tensors[2].requires_grad_()
    tracked = [*fm.affine_moments(*tensors[:4]), *fm.residual_moments("relu", *tensors)]
    for k, (got, with_gradient, want) in enumerate(zip(bare, tracked, wanted, strict=True)):
        assert got.dtype == with_gradient.dtype == getattr(torch, dtype) and with_gradient.requires_grad
        # means are products of PyTorch's own
        atol = 64 * np.finfo(dtype).eps * np.abs(want).max() if k != 1 else 0.0
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=atol)
        np.testing.assert_allclose(with_gradient.detach().numpy(), want, rtol=0, atol=atol)


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_those_of_the_sums(shared):
    """Of the kernel by autograd, first and second, against finite differences of it in float64."""
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch_few

    rng = np.random.default_rng(7)
    root = rng.normal(size=(1 if shared else 2, 3, 3))
    arrays = rng.normal(size=(4, 3)), root @ root.mT, rng.normal(size=(2, 4)), rng.normal(size=(4, 3))
    A, cov, gains, C = (torch.from_numpy(x).requires_grad_() for x in arrays)
    full = torch.eye(4, dtype=torch.float64).expand(2, 4, 4).clone().requires_grad_()

    def affine(A, cov):
        return torch_few.congruence(A, 0.5 * (cov + cov.mT))

    def skip(A, cov, gains, C, full):
        return torch_few.congruence(A, 0.5 * (cov + cov.mT), gains, C, 0.5 * (full + full.mT))

    for function, given in ((affine, (A, cov)), (skip, (A, cov, gains, C, full))):
        assert "Backward" in type(function(*given).grad_fn).__name__
        assert torch.autograd.gradcheck(function, given)
        assert torch.autograd.gradgradcheck(function, given)


def test_gradients_through_a_network():
    """A network with a skip connection, of one input: mean and variance by a rule exact for its pieces."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    a, b, c, w = rng.normal(size=(4, 6))
    weights = [
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (a[:, None], b, c[:, None], w[None])
    ]
    mu, var = (
        torch.tensor([[0.3], [-1.0]], dtype=torch.float64),
        torch.tensor([[[0.8]], [[2.0]]], dtype=torch.float64),
    )
    A, B, C, W = weights
    found = fm.propagate([fm.compare.Residual("relu", A, B, C), fm.compare.Affine(W)], mu, var)
    # points between the kinks of all neurons, where the network is a line
    x = torch.linspace(-16.0, 16.0, 200_001, dtype=torch.float64)
    density = torch.exp(-((x - mu) ** 2) / (2 * var[..., 0])) / (2 * torch.pi * var[..., 0]) ** 0.5
    value = (torch.relu(A * x + B[:, None]) + C * x).mT @ W[0]
    mean = (density * value).sum(-1) * 1.6e-4
    second = (density * (value - mean[:, None]) ** 2).sum(-1) * 1.6e-4
    # the trapezoidal rule at kinks: a step's square times the change of slope, 2.6e-8, by twelve
    np.testing.assert_allclose(found.mean[:, 0].detach(), mean.detach(), atol=1e-7)
    np.testing.assert_allclose(found.cov[:, 0, 0].detach(), second.detach(), atol=1e-6)
    ours = torch.autograd.grad(found.mean.sum() + found.cov.sum(), weights)
    wanted = torch.autograd.grad(mean.sum() + second.sum(), weights)
    for got, want in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-3 * float(want.abs().max()))


def test_compiled_and_batched_derivatives():
    """torch.compile traces the products; autograd runs several backward passes at once."""
    torch = pytest.importorskip("torch")
    mu, cov, A, b, C = map(torch.from_numpy, wide_layer())
    A.requires_grad_()

    def layer(mu, cov, A):
        return fm.residual_moments("relu", mu, cov, A, b, C).cov

    wanted = layer(mu, cov, A)
    found = torch.compile(layer, backend="eager", fullgraph=True)(mu, cov, A)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    values = fm.affine_moments(mu, cov, A).cov[0, 0, :3]
    several = torch.autograd.grad(values, A, torch.eye(3, dtype=A.dtype), retain_graph=True, is_grads_batched=True)[
        0
    ]
    for value, got in zip(values, several, strict=True):
        torch.testing.assert_close(got, torch.autograd.grad(value, A, retain_graph=True)[0])
