"""Errors of propagate and of names: what came, what is expected, and what to pass instead."""

import math

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


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: fm.nn.BayesLinear(3, 4, prior_std=1.0),
            r"^BayesLinear: got an unexpected keyword argument 'prior_std'; did you mean prior_sd\?; it is "
            r"BayesLinear\(in_features, out_features, bias=True, prior_sd=1\.0",
        ),
        (lambda: fm.nn.BayesConv2d(3, 4, 3, strides=2), r"^BayesConv2d: .*did you mean stride\?"),
        (
            lambda: fm.nn.AdditiveNoise(std=1.0),
            r"^AdditiveNoise: .*'std'; did you mean sd\?; .*AdditiveNoise\(sd\)",
        ),
        (lambda: fm.nn.StochasticDepth(prob=0.1), r"^StochasticDepth: .*'prob'; it is StochasticDepth\(p\)"),
        (lambda: fm.nn.Activation("relu", learnables="a"), r"^Activation: .*did you mean learnable\?"),
        (
            lambda: fm.nn.Activation("leaky_relu", slope=0.1),
            r"did you mean LeakyReLU\(negative_slope=\.\.\.\) as the activation",
        ),
        (lambda: fm.compare.linearise([], [0.0], covariance=[[1.0]]), r"^linearise: .*did you mean cov\?"),
        (
            lambda: fm.compare.kl_divergence(([0.0], [[1.0]]), ([0.0], [[1.0]])),
            r"^p: .*use fm\.Moments\(mean, cov\)",
        ),
    ],
)
def test_keywords_that_constructors_and_functions_do_not_take(make, says):
    with pytest.raises(TypeError, match=says):
        make()
    assert fm.nn.BayesLinear(in_features=3, out_features=4, bias=False).bias_mean is None


def test_modules_of_pytorch_are_not_sought_here():
    with pytest.raises(AttributeError, match=r"has no attribute 'ReLU'; .* torch\.nn\.ReLU$"):
        fm.nn.ReLU  # noqa: B018


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


@pytest.mark.parametrize("covariance", ["full", "diagonal", "hybrid"])
@pytest.mark.parametrize("bad", ["mu", "cov"])
def test_nan_stays_with_its_input_and_reaches_all_that_depends_on_it(covariance, bad):
    """A layer of weights joins all elements of an input; elementwise functions join none."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    mu, cov = torch.zeros(3, 6), torch.eye(6).expand(3, 6, 6) if covariance == "full" else torch.ones(3, 6)
    clean = fm.propagate(model, mu, cov, covariance)
    given = {"mu": mu.clone(), "cov": cov.clone()}
    given[bad][(1, 2, 2) if given[bad].ndim == 3 else (1, 2)] = math.nan
    for found, want in zip(fm.propagate(model, **given, covariance=covariance), clean, strict=True):
        assert found[1].isnan().all()
        torch.testing.assert_close(found[[0, 2]], want[[0, 2]])
    if covariance != "hybrid":
        mean = fm.propagate(torch.nn.ReLU(), **given, covariance=covariance).mean
        assert mean.isnan().sum() == 1 and mean[1, 2].isnan()
        assert mean[1, 3] == pytest.approx(1.0 / math.sqrt(2.0 * math.pi))


@pytest.mark.parametrize("how", [{"tol": 0.1}, {"cumulants": True}])
def test_answers_that_are_checked_or_corrected_say_so_of_nan(how):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    with pytest.warns(fm.AccuracyWarning):
        found = fm.propagate(model, torch.tensor([0.0, math.nan]), torch.eye(2), **how)
    assert found.mean.isnan().all() and not getattr(found, "met", False)
