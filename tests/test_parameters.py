"""Activations with parameters: one number, one per neuron, a pair; derivatives along them against integrals."""

from dataclasses import fields

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels import cpu
from fastmoments_kernels.catalogue import CATALOGUE
from tests.test_inputs import gaussian

PARAMETERS = [row for row in CATALOGUE if fields(row.activation) and not row.components]
QUICK = ("sin", "npn")
# an ordinary pair, a weaker one, a strong one
PAIRS = ((0.25, -0.5, 1.0, 2.0, 0.75), (0.5, 1.25, 0.5, 0.25, 0.0625), (-0.75, 0.5, 1.5, 1.25, -1.25))
# exact in float32, apart for the two neurons
VALUES = ((1.25, 0.75), (0.5, -0.25), (1.5, 0.5), (0.625, 1.375), (0.375, -0.5), (0.75, 1.125))
COMPONENTS = 2


def of_kind(rows):
    return pytest.mark.parametrize(
        "row", [pytest.param(r, marks=[] if r.name in QUICK else pytest.mark.slow, id=r.name) for r in rows]
    )


def values(row):
    """A pair of values for every parameter, and for every component of a mixture's parameter."""
    names = [field.name for field in fields(row.activation)]
    if row.components:
        names = [f"{name}[{k}]" for name in names for k in range(COMPONENTS)]
    return {name: pair for name, pair in zip(names, VALUES, strict=False)}


def flat(pairs):
    return [x for pair in pairs.values() for x in pair]


@of_kind(PARAMETERS)
def test_one_per_neuron_is_each_neuron_with_its_own(row):
    mu, cov = gaussian(5)
    rng = np.random.default_rng(3)
    own = {field.name: rng.uniform(0.25, 1.5, 5) for field in fields(row.activation)}
    moments, pair_cov, marginals = (getattr(fm, f"{row.name}_{kind}") for kind in ("moments", "cov", "marginals"))
    mean, out = moments(mu, cov, **own)
    assert np.array_equal(np.array(marginals(mu, np.diag(cov), **own)), (mean, np.diag(out)))
    i, j = np.triu_indices(5, 1)
    both = {name: (p[i], p[j]) for name, p in own.items()}
    pairs = pair_cov(mu[i], mu[j], np.diag(cov)[i], np.diag(cov)[j], cov[i, j], **both)
    # the series and the pair formula, each to a few eps of the scale
    assert np.abs(out[i, j] - pairs).max() <= 16 * np.finfo(float).eps * np.abs(out).max()
    batches = moments(
        np.stack([mu, mu]), np.stack([cov, cov]), **{name: np.stack([p, p]) for name, p in own.items()}
    )
    assert np.array_equal(batches.cov[1], out)
    same = fm.moments(row.activation(**own), mu, cov)
    assert np.array_equal(same.cov, out)


@of_kind(PARAMETERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_derivatives_along_parameters(row, dtype):
    """Derivatives agree with integrals at the scale of Cauchy and Schwarz; both have a few roundings."""
    pairs, eps = values(row), float(np.finfo(dtype).eps)
    for inputs in PAIRS:
        neuron = np.array([inputs[0], inputs[2], *(p for p, _ in pairs.values())], dtype)
        arrays = np.array([*inputs, *flat(pairs)], dtype)
        found = {
            "mean": np.atleast_1d(cpu.elementwise(row.name, "mean_dparameters")(*neuron)),
            "var": np.atleast_1d(cpu.elementwise(row.name, "var_dparameters")(*neuron)),
            "cov": np.atleast_1d(cpu.elementwise(row.name, "cov_dparameters")(*arrays))[::2],
        }
        for which in range(len(pairs)):
            for kind, (want, size) in integrated(row, inputs, pairs, which).items():
                assert abs(found[kind][which] - want) <= 16 * eps * (abs(want) + size), (kind, which, inputs)


def integrated(row, inputs, pairs, which):
    """d mean, d var and d cov along parameter `which` of the first neuron, and their scales.

    Gauss-Legendre on panels that end at kinks, over X_1 and over X_2 given X_1; df/dp by a complex step, which does
    not cancel.
    """
    mu_1, mu_2, var_1, var_2, cov_12 = inputs
    one, two = ([pair[i] for pair in pairs.values()] for i in (0, 1))
    x, weight_1 = nodes(row, np.array([mu_1]), np.sqrt(var_1))
    x, weight_1 = x[0], weight_1[0]
    rest = np.sqrt(var_2 - cov_12**2 / var_1)
    y, weight_2 = nodes(row, mu_2 + cov_12 / var_1 * (x - mu_1), rest)
    stepped = [p + 1e-30j if i == which else p for i, p in enumerate(one)]
    f, slope, g = (
        row.formula.function(x, *one),
        np.imag(row.formula.function(x, *stepped)) / 1e-30,
        row.formula.function(y, *two),
    )
    conditional = np.sum(weight_2 * g, axis=1)
    mean = lambda values: np.sum(weight_1 * values)  # noqa: E731
    a, b, c = f - mean(f), slope - mean(slope), conditional - mean(conditional)
    sd = np.sqrt([mean(v * v) for v in (a, b)] + [mean(np.sum(weight_2 * (g - mean(conditional)) ** 2, axis=1))])
    return {
        "mean": (mean(slope), np.sqrt(mean(slope**2))),
        "var": (2.0 * mean(a * b), 2.0 * sd[0] * sd[1]),
        "cov": (mean(b * c), sd[1] * sd[2]),
    }


@of_kind([row for row in CATALOGUE if fields(row.activation)])
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])  # compiles
def test_vjp_along_parameters(row, dtype):
    """Two neurons, each with parameters of its own, against the same integrals."""
    pairs, eps = values(row), float(np.finfo(dtype).eps)
    both = np.array(list(pairs.values()), dtype).T  # (2, parameters)
    if row.components:
        both = both.reshape(2, -1, COMPONENTS).swapaxes(0, 1)
    keywords = dict(
        zip([field.name for field in fields(row.activation)], both if row.components else both.T, strict=True)
    )
    exchanged = {name: pair[::-1] for name, pair in pairs.items()}
    mean_bar, cov_bar = np.array([0.5, -1.25], dtype), np.array([[0.75, -0.5], [-0.5, 1.5]], dtype)
    for mu_1, mu_2, var_1, var_2, cov_12 in PAIRS:
        mu, cov = np.array([mu_1, mu_2], dtype), np.array([[var_1, cov_12], [cov_12, var_2]], dtype)
        vjp = getattr(fm, f"{row.name}_moments_vjp")
        *two, found = vjp(mu, cov, mean_bar, cov_bar, return_parameters=True, **keywords)
        plain = vjp(mu, cov, mean_bar, cov_bar, **keywords)
        assert len(plain) == 2 and all(np.array_equal(a, b) for a, b in zip(two, plain, strict=True))
        assert list(found) == list(keywords)
        flattened = np.concatenate([found[name].reshape(2, -1).T for name in found])
        sides = (pairs, (mu_1, mu_2, var_1, var_2, cov_12)), (exchanged, (mu_2, mu_1, var_2, var_1, cov_12))
        for i, (own, inputs) in enumerate(sides):
            weights = {"mean": mean_bar[i], "var": cov_bar[i, i], "cov": 2 * cov_bar[0, 1]}
            for which, got in enumerate(flattened[:, i]):
                slopes = integrated(row, inputs, own, which)
                want = sum(weights[kind] * slope for kind, (slope, _) in slopes.items())
                size = sum(abs(weights[kind]) * (abs(slope) + scale) for kind, (slope, scale) in slopes.items())
                assert got.dtype == dtype and abs(got - want) <= 16 * eps * size, (which, inputs)


@pytest.mark.feature("NumPy", "gradients along parameters")
@pytest.mark.feature("PyTorch", "gradients along parameters")
@pytest.mark.feature("JAX", "gradients along parameters")
def test_vjp_along_parameters_of_every_library():
    """A scalar is one number for all neurons; gradients are arrays of the parameters' library."""
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    mu, cov = gaussian(3)
    arrays = mu, cov, np.cos(np.arange(3.0)), np.ones((3, 3))
    expected = fm.npn_moments_vjp(*arrays, return_parameters=True, tau=0.75).parameters_bar
    assert list(expected) == ["r", "q", "tau", "center"] and all(x.shape == (3,) for x in expected.values())
    found = fm.npn_moments_vjp(*map(torch.from_numpy, arrays), return_parameters=True, tau=0.75).parameters_bar
    assert all(np.array_equal(found[name].numpy(), expected[name]) for name in expected)
    with jax.enable_x64(True):
        traced = map(jax.numpy.asarray, arrays)
        found = fm.npn_moments_vjp(*traced, return_parameters=True, tau=0.75).parameters_bar
    # numbers of order one by another order of summation
    assert all(np.allclose(found[name], expected[name], rtol=1e-12, atol=1e-13) for name in expected)
    assert fm.relu_moments_vjp(*arrays, return_parameters=True).parameters_bar == {}
    empty = np.zeros((2, 0)), np.zeros((2, 0, 0)), np.zeros((2, 0)), np.zeros((2, 0, 0))
    assert fm.sin_moments_vjp(*empty, return_parameters=True).parameters_bar["omega"].shape == (2, 0)


@pytest.mark.feature("Dask", "gradients along parameters", "refused")
def test_vjp_along_parameters_of_dask_is_refused():
    da = pytest.importorskip("dask.array")
    mu, cov = map(da.asarray, gaussian(3))
    with pytest.raises(TypeError, match="return_parameters: .* Dask"):
        fm.npn_moments_vjp(mu, cov, mu, cov, return_parameters=True)


def nodes(row, mu, sd):
    """Nodes and weights times the density for every mean, (m, nodes)."""
    ends = np.broadcast_to(np.linspace(-10.0, 10.0, 17), (mu.size, 17))
    kinks = [np.clip((kink - mu[:, None]) / sd, -10.0, 10.0) for kink in row.kinks]
    ends = np.sort(np.concatenate([ends, *kinks], axis=1), axis=1)
    points, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(ends)[..., None]
    z = (ends[:, :-1, None] + half * (1.0 + points)).reshape(mu.size, -1)
    weight = (half * weights).reshape(mu.size, -1) * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return mu[:, None] + sd * z, weight


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_second_derivatives_of_a_flat_bump(library):
    """tau = 0, where exp(-tau u^2 / 2) = 1 - tau u^2 / 2 + tau^2 u^4 / 8: moments of u = X - center, by hand."""
    (mu_1, mu_2, var_1, var_2, cov_12), center = PAIRS[0], 0.5
    d_1, d_2 = mu_1 - center, mu_2 - center
    fourth = d_1**4 + 6 * d_1**2 * var_1 + 3 * var_1**2
    spread = 2 * var_1**2 + 4 * var_1 * d_1**2  # Var u^2
    functions = {
        "mean": lambda tau: fm.gaussian_mean(mu_1, var_1, tau=tau, center=center),
        "var": lambda tau: fm.gaussian_var(mu_1, var_1, tau=tau, center=center),
        # with equal taus the mixed derivative counts twice, and the second along one tau alone is 0
        "cov": lambda tau: fm.gaussian_cov(mu_1, mu_2, var_1, var_2, cov_12, tau=(tau, tau), center=center),
    }
    # values, first and second derivatives
    expected = {
        "mean": (1.0, -0.5 * (d_1**2 + var_1), 0.25 * fourth),
        "var": (0.0, 0.0, 0.5 * spread),
        "cov": (0.0, 0.0, 0.5 * (2 * cov_12**2 + 4 * cov_12 * d_1 * d_2)),
    }
    pytest.importorskip(library)
    for name, function in functions.items():
        found = _twice_differentiated(library, function)
        # a few products of numbers of order one
        assert np.allclose(found, expected[name], rtol=1e-14, atol=1e-14), (name, found, expected[name])


def _twice_differentiated(library, function):
    """Value, first and second derivative at 0 in float64."""
    if library == "torch":
        import torch

        tau = torch.zeros((), dtype=torch.float64, requires_grad=True)
        value = function(tau)
        (first,) = torch.autograd.grad(value, tau, create_graph=True)
        (second,) = torch.autograd.grad(first, tau)
        return [float(x.detach()) for x in (value, first, second)]
    import jax

    with jax.enable_x64(True):
        tau = jax.numpy.zeros(())
        return [float(f(tau)) for f in (function, jax.grad(function), jax.grad(jax.grad(function)))]


def test_bad_parameters_are_named():
    mu, cov = gaussian(3)
    with pytest.raises(ValueError, match=r"omega: expected a number or one per neuron, shape \(3,\), got \(2,\)"):
        fm.sin_moments(mu, cov, omega=[1.0, 2.0])
    with pytest.raises(TypeError, match="mu is float64 but omega is float32"):
        fm.sin_moments(mu, cov, omega=np.ones(3, np.float32))
    for weights in ([], np.zeros(0), np.zeros((3, 0))):
        with pytest.raises(ValueError, match="weights: expected at least one component, got none"):
            fm.gaussian_mixture_moments(mu, cov, weights=weights, taus=[1.0])
    with pytest.raises(ValueError, match="omega: expected a number or a pair of them, one per neuron, got 3"):
        fm.sin_cov(0.0, 0.0, 1.0, 1.0, 0.5, omega=(1.0, 2.0, 3.0))
    with pytest.raises(TypeError, match="'tau'"):
        fm.sin_moments(mu, cov, tau=1.0)
    assert fm.sin_mean(np.float32(0.5), np.float32(1.0), omega=0.1).dtype == np.float32


@of_kind(PARAMETERS)
def test_learnable(row):
    torch = pytest.importorskip("torch")
    mu, cov = (torch.from_numpy(x).requires_grad_() for x in gaussian(3))
    names = [field.name for field in fields(row.activation)]
    draw = np.random.default_rng(5)
    own = [torch.from_numpy(draw.uniform(0.25, 1.5, 3)).requires_grad_() for _ in names]

    def moments(mu, cov, *own):
        return getattr(fm, f"{row.name}_moments")(mu, cov, **dict(zip(names, own, strict=True)))

    assert torch.autograd.gradcheck(moments, (mu, cov, *own), fast_mode=True)
    assert torch.autograd.gradgradcheck(moments, (mu, cov, *own), fast_mode=True)
    mean, out = moments(mu, cov, *own)
    (mean.sum() + out.sum()).backward()
    compiled = torch.compile(lambda *x: sum(y.sum() for y in moments(*x)), backend="aot_eager", fullgraph=True)
    again = [x.detach().requires_grad_() for x in (mu, cov, *own)]
    compiled(*again).backward()
    for x, y in zip((mu, cov, *own), again, strict=True):
        assert torch.allclose(x.grad, y.grad, rtol=1e-12, atol=1e-14)  # another order of summation
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        arrays = [jax.numpy.asarray(x.detach().numpy()) for x in (mu, cov, *own)]
        total = lambda *x: sum(y.sum() for y in moments(*x))  # noqa: E731
        slopes = jax.grad(total, argnums=tuple(range(2, 2 + len(own))))(*arrays)
    # series and pair formula against both routes of the formula: some hundred roundings of numbers of order one
    for slope, x in zip(slopes, own, strict=True):
        assert np.allclose(slope, x.grad.numpy(), rtol=1e-12, atol=1e-13)
