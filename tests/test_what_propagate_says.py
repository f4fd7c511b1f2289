"""Errors of propagate and of names: what came, what is expected, and what to pass instead."""

import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")
MODEL = torch.nn.Linear(6, 2)


@pytest.mark.parametrize(
    ("mu", "cov", "says"),
    [
        (
            (6,),
            (6,),
            r"mu \(6,\) is one input of 6: expected cov \(6, 6\), got \(6,\)\. Variances\? torch\.diag\(var\)",
        ),
        ((6,), (5, 5), r"mu \(6,\) is one input of 6: expected cov \(6, 6\), got \(5, 5\)$"),
        ((5,), (6, 6), r"mu \(5,\) is one input of 5: expected cov \(5, 5\), got \(6, 6\)$"),
        ((3, 6), (3, 6), r"a batch of 3 of 6: expected cov \(3, 6, 6\).*got \(3, 6\).*diag_embed\(sd\*\*2\)"),
    ],
)
def test_shapes(mu, cov, says):
    with pytest.raises(ValueError, match=says):
        fm.propagate(MODEL, torch.zeros(mu), torch.ones(cov))


def test_the_model_comes_first():
    with pytest.raises(TypeError, match="cov: got the model, Linear; the model comes first"):
        fm.propagate(torch.zeros(6), torch.eye(6), MODEL)


def test_frames():
    frame = pytest.importorskip("pandas").DataFrame([[0.0] * 6])
    with pytest.raises(
        TypeError, match=r"mu: expected a tensor, got DataFrame; use torch\.tensor\(mu\.to_numpy\(\)\)"
    ):
        fm.propagate(MODEL, frame, torch.eye(6))


def test_names_of_other_libraries():
    with pytest.raises(AttributeError, match=r"did you mean silu_moments\?"):
        fm.swish_moments  # noqa: B018


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norms_in_half_precision(dtype):
    """As in float64, to a few eps of the half: mean and covariance are stored in it between layers."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.LayerNorm(6), torch.nn.Linear(6, 2)).to(dtype)
    mu, cov = torch.linspace(-1.0, 1.0, 6).to(dtype), torch.eye(6).to(dtype).requires_grad_()
    found = fm.propagate(model, mu, cov)
    assert found.mean.dtype == found.cov.dtype == dtype
    found.cov.sum().backward()
    assert cov.grad.isfinite().all()
    points = fm.propagate(model.double(), mu.double(), torch.eye(6).double(), tol=0.01)
    error = 0.01 + 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.mean.double(), points.mean, rtol=0.0, atol=error)
    torch.testing.assert_close(found.cov.double(), points.cov, rtol=0.0, atol=error)


@pytest.mark.parametrize("tol", [None, 0.1])
def test_dtypes_and_weights(tol):
    with pytest.raises(TypeError, match=r"mu: expected the dtype of the model's weight, torch\.float32"):
        fm.propagate(MODEL, torch.zeros(6).half(), torch.eye(6).half(), tol=tol)
    with pytest.raises(TypeError, match="got OrderedDict; is it a state_dict") as error:
        fm.propagate(MODEL.state_dict(), torch.zeros(6), torch.eye(6), tol=tol)
    assert "tensor([" not in str(error.value)
