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
    for cov, called in ((MODEL, "Linear"), (torch.tanh, "tanh")):
        with pytest.raises(TypeError, match=f"cov: got the model, {called}; the model comes first"):
            fm.propagate(torch.zeros(6), torch.eye(6), cov)
    with pytest.raises(TypeError, match="mu: got the model, Linear; the model comes first"):
        fm.propagate(torch.zeros(6), MODEL, torch.eye(6))


class Own(torch.nn.Module):
    """A model without arguments."""


@pytest.mark.parametrize("how", [{}, {"tol": 0.1}], ids=str)
@pytest.mark.parametrize(
    ("model", "says"),
    [
        (torch.nn.ReLU, r"the class torch\.nn\.ReLU; give an instance, torch\.nn\.ReLU\(\)$"),
        (torch.nn.Linear, r"give an instance, torch\.nn\.Linear\(\.\.\.\)$"),
        (Own, r"the class Own; give an instance, Own\(\)$"),
        (fm.ReLU(), r"got an activation, ReLU\(\); fm\.moments\(ReLU\(\), mu, cov\) .* fm\.nn\.Activation"),
        ("relu", r"got an activation, 'relu'; fm\.moments"),
        ([MODEL, torch.nn.ReLU()], r"layers\[0\]: .*got Linear; of modules make torch\.nn\.Sequential\(\*layers\)"),
        (torch.nn.Linear(6, 2, device="meta"), r"its weight is on meta, where it has no numbers; model\.to_empty"),
    ],
    ids=str,
)
def test_what_is_no_model_yet(model, says, how):
    with pytest.raises(TypeError, match=says):
        fm.propagate(model, torch.zeros(6), torch.eye(6), **how)


def test_models_of_jax_without_their_weights():
    linen, jnp = pytest.importorskip("flax.linen"), pytest.importorskip("jax.numpy")
    for model in (linen.Dense, linen.Dense(2)):
        with pytest.raises(TypeError, match=r"Dense is without its weights; .* model\.apply\(variables, x\)"):
            fm.propagate(model, jnp.zeros(3), jnp.eye(3))
    bound = linen.Dense(2).bind({"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}})
    assert fm.propagate(bound, jnp.zeros(3), jnp.eye(3)).cov[0, 1] == pytest.approx(3.0)
    equinox = pytest.importorskip("equinox")
    with pytest.raises(TypeError, match=r"the class MLP; give an instance, MLP\(\.\.\.\)"):
        fm.propagate(equinox.nn.MLP, jnp.zeros(3), jnp.eye(3))


def test_models_of_numpy():
    mu, cov = torch.zeros(3).numpy(), torch.eye(3).numpy()
    perceptron = pytest.importorskip("sklearn.neural_network").MLPRegressor
    with pytest.raises(TypeError, match=r"give an instance, MLPRegressor\(\.\.\.\)\.fit\(x, y\)"):
        fm.propagate(perceptron, mu, cov)
    with pytest.raises(TypeError, match="got function; functions of PyTorch and JAX take their arrays"):
        fm.propagate(lambda x: 2.0 * x, mu, cov)
    assert fm.propagate(lambda x: 2.0 * x, mu, cov, tol=0.1).met


def test_what_has_no_numbers_and_single_numbers():
    with pytest.raises(TypeError, match="mu: a tensor on meta has no numbers"):
        fm.propagate(MODEL, torch.zeros(6, device="meta"), torch.eye(6))
    with pytest.raises(ValueError, match=r"cov: expected a covariance \(n, n\), such as var \* eye"):
        fm.propagate(MODEL, torch.zeros(6), torch.tensor(1.0))


@pytest.mark.parametrize("covariance", ["diagonal", "hybrid"])
def test_a_covariance_in_place_of_variances(covariance):
    says = r"expected variances \(6,\), one for each element of mu, got \(6, 6\); .* cov\.diagonal\(0, -2, -1\)$"
    with pytest.raises(ValueError, match=says):
        fm.propagate(MODEL, torch.zeros(6), torch.eye(6), covariance)
    with pytest.raises(ValueError, match=r"expected variances \(4, 6\).* got \(6, 6\); .* cov\.diagonal"):
        fm.propagate(MODEL, torch.zeros(4, 6), torch.eye(6), covariance)
    with pytest.warns(UserWarning, match=r"cov: \(6, 6\), symmetric, looks like a covariance") as caught:
        fm.propagate(MODEL, torch.zeros(6, 6), torch.eye(6), covariance)
    assert caught[0].filename == __file__
    variances = torch.linspace(0.1, 1.0, 36).reshape(6, 6)
    for meant in (variances, torch.ones(6, 6)):
        fm.propagate(MODEL, torch.zeros(6, 6), meant, covariance)


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


CHECKED = r"what fm\.propagate\(\.\.\., tol=0\.01\) returns has"


@pytest.mark.parametrize(
    ("covariance", "name", "says"),
    [
        ("full", "quantile", rf"'Moments' object has no attribute 'quantile'; {CHECKED} it: quantile\(0\.05\)$"),
        ("full", "interval", rf"{CHECKED} its ends: quantile\(0\.05\) and quantile\(0\.95\)$"),
        ("diagonal", "quantile", rf"'Marginals' .*{CHECKED} it"),
        ("full", "std", r"the standard deviations are cov\.diagonal\(0, -2, -1\) \*\* 0\.5$"),
        ("diagonal", "std", r"the standard deviations are var \*\* 0\.5$"),
        ("full", "var", r"the variances are cov\.diagonal\(0, -2, -1\)$"),
        ("diagonal", "cov", r'fm\.propagate\(\.\.\., covariance="full"\), return it$'),
        ("full", "closure", rf"{CHECKED} it$"),
        ("full", "bound", r"fm\.propagate\(\.\.\., bound=True\) returns it$"),
        ("full", "covariance", r"; it is cov$"),
        ("full", "meen", r"; did you mean mean\?$"),
        ("full", "rank", r"has no attribute 'rank'$"),
    ],
)
def test_what_a_result_has_not(covariance, name, says):
    cov = torch.eye(6) if covariance == "full" else torch.ones(6)
    found = fm.propagate(torch.nn.Identity(), torch.zeros(6), cov, covariance)
    with pytest.raises(AttributeError, match=says):
        getattr(found, name)
    assert not hasattr(found, name) and getattr(found, name, None) is None


def test_what_answers_that_are_checked_have_not_and_what_the_hints_name():
    found = fm.propagate(torch.nn.Identity(), torch.zeros(6), torch.eye(6), tol=0.1)
    assert found.quantile(0.05).shape == (6,)
    with pytest.raises(AttributeError, match=r"'Checked' .* quantile\(0\.05\) and quantile\(0\.95\)$"):
        found.interval  # noqa: B018
    given = torch.tensor([4.0, 9.0])
    assert fm.Moments(given, torch.diag(given)).cov.diagonal(0, -2, -1).tolist() == [4.0, 9.0]
