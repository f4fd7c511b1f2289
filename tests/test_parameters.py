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
VALUES = ((1.25, 0.75), (0.5, -0.25), (1.5, 0.5), (0.625, 1.375), (0.375, -0.5))


def of_kind(rows):
    return pytest.mark.parametrize(
        "row", [pytest.param(r, marks=[] if r.name in QUICK else pytest.mark.slow, id=r.name) for r in rows]
    )


def values(row):
    """A pair of values for every parameter."""
    return {field.name: pair for field, pair in zip(fields(row.activation), VALUES, strict=False)}


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
    """At the scale of Cauchy and Schwarz; the quadrature's sums round as often as the formulas do."""
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

    Gauss-Legendre on panels that end at kinks, over X_1 and over X_2 given X_1; df/dp by a complex step, which
    rounds nothing away.
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


def test_bad_parameters_are_named():
    mu, cov = gaussian(3)
    with pytest.raises(ValueError, match=r"omega: expected a number or one per neuron, shape \(3,\), got \(2,\)"):
        fm.sin_moments(mu, cov, omega=[1.0, 2.0])
    with pytest.raises(TypeError, match="mu is float64 but omega is float32"):
        fm.sin_moments(mu, cov, omega=np.ones(3, np.float32))
    with pytest.raises(ValueError, match="omega: expected a number or a pair of them, one a neuron, got 3"):
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
