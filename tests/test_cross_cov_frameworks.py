"""Covariances of two different activations on PyTorch, JAX and Dask: values, and derivatives by their integrals."""

import numpy as np
import pytest
from scipy.special import ndtr

import fastmoments as fm
from tests.pair_integrals import (
    FUNCTIONS,
    NEAR_ONE,
    POINTS,
    REGULAR,
    RHOS,
    arguments,
    bump,
    centred,
    exact_derivatives,
    nodes,
    standard_pair,
)

SMOOTH_PAIRS = [("relu", "heaviside"), ("gelu", "leaky_relu"), ("npn", "relu"), ("gaussian_mixture", "erf")]
SMOOTH_PAIRS += [("npn_linear", "sin"), ("cos", "sin"), ("abs", "probit"), ("gaussian", "npn")]
DIFFERENTIATED = (0.5, -0.25, 1.0, 1.5), 0.5


@pytest.mark.feature("PyTorch", "covariances of two activations")
@pytest.mark.parametrize(("one", "two"), SMOOTH_PAIRS)
def test_derivatives_on_torch(one, two):
    torch = pytest.importorskip("torch")
    point, rho = DIFFERENTIATED
    inputs = [torch.tensor(float(x), dtype=torch.float64, requires_grad=True) for x in arguments(point, rho)]

    value = fm.cross_cov(FUNCTIONS[one][0], FUNCTIONS[two][0], *inputs)
    gradients = torch.autograd.grad(value, inputs)
    # 1e-13: the integrals of the scores cancel, which loses about two digits
    assert np.allclose([float(x) for x in gradients], exact_derivatives(one, two, point, rho), rtol=0, atol=1e-13)


SLOW = {("relu", "heaviside"), ("gelu", "leaky_relu"), ("gaussian_mixture", "erf")}


@pytest.mark.parametrize(
    ("one", "two"), [pytest.param(*pair, marks=[pytest.mark.slow] * (pair in SLOW)) for pair in SMOOTH_PAIRS]
)
def test_second_derivatives_on_torch(one, two):
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(float(x), dtype=torch.float64, requires_grad=True) for x in arguments(*DIFFERENTIATED)]
    functions = FUNCTIONS[one][0], FUNCTIONS[two][0]
    assert torch.autograd.gradgradcheck(lambda *x: fm.cross_cov(*functions, *x), inputs, fast_mode=True)


@pytest.mark.parametrize("rho", [-1.0, 0.5, NEAR_ONE, 1.0])
@pytest.mark.parametrize("low", [1, 0])
def test_forward_mode_and_vmap_on_torch(low, rho):
    """Forward mode, per-sample gradients and reverse mode agree."""
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(np.repeat(x, 3), dtype=torch.float64) for x in arguments(POINTS["middle"], rho)]
    functions = ("heaviside" if low else "gaussian"), "relu"

    def function(*x):
        return fm.cross_cov(*functions, *x)

    leaves = [x.clone().requires_grad_() for x in inputs]
    reverse = torch.autograd.grad(function(*leaves).sum(), leaves)
    each = torch.func.vmap(torch.func.grad(function, argnums=tuple(range(5))))(*inputs)
    tangents = tuple(torch.full_like(x, 0.5 + i) for i, x in enumerate(inputs))
    _, along = torch.func.jvp(function, tuple(inputs), tangents)
    assert np.allclose(torch.stack(each), torch.stack(reverse), rtol=0, atol=1e-14)
    expected = sum(t * slope for t, slope in zip(tangents, reverse, strict=True))
    # five products of numbers of order 1, and their sum
    assert np.allclose(along, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("other", ["relu", "cos", "npn"])
@pytest.mark.parametrize("tau", [0.0, 0.75])
def test_parameters_have_gradients_on_torch(other, tau):
    """Along tau, at 0 too, it is the covariance of -(x - center)^2 s / 2: by differences of the definition."""
    torch = pytest.importorskip("torch")
    point, rho = DIFFERENTIATED
    given = arguments(point, rho)
    parameters = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (tau, 0.25)]
    value = fm.cross_cov(fm.Gaussian(*parameters), FUNCTIONS[other][0], *(torch.tensor(x) for x in given))
    gradients = torch.autograd.grad(value, parameters)
    z, w, e, u = standard_pair(point, rho)
    x = point[0] + point[2] * z
    inner = point[1] + point[3] * (rho * z[:, None] + np.sqrt(1.0 - rho * rho) * e)
    g = np.einsum("ij,ij->i", u, centred(other, point[1], inner))
    along = -0.5 * (x - 0.25) ** 2 * bump(x, tau, 0.25), tau * (x - 0.25) * bump(x, tau, 0.25)
    exact = [w @ (slope * (g - w @ g)) for slope in along]
    assert np.allclose([float(x) for x in gradients], exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_derivatives_at_correlation_one(sign):
    """Price's integrals in one dimension: relu(X_1) and step(X_2), X_2 = -1/4 + 2 sign (X_1 - 1/2)."""
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.5, -0.25, 1.0, 4.0, 2.0 * sign)]
    gradients = torch.autograd.grad(fm.cross_cov("relu", "heaviside", *inputs), inputs)
    h, k, at = 0.5, -0.125, 0.5 + sign * 0.125  # `at` is X_1 where X_2 = 0
    density = np.exp(-0.5 * k * k) / np.sqrt(2.0 * np.pi) / 2.0
    z, w = nodes(np.append(REGULAR, [-h, -sign * k]))
    step = np.heaviside(h + z, 0.5) - ndtr(h)
    x_2_at = -0.25 - 2.0 * sign * 0.5  # X_2 where X_1 = 0
    by_mu_2 = density * (max(at, 0.0) - w @ np.maximum(h + z, 0.0))
    by_cov = density * np.heaviside(at, 0.5)
    exact = [
        w @ (step * np.heaviside(k + sign * z, 0.5)),
        by_mu_2,
        0.5 * np.exp(-0.5 * h * h) / np.sqrt(2.0 * np.pi) * (np.heaviside(x_2_at, 0.5) - ndtr(k)),
        # the step of a X_2 is that of X_2: no derivative along a
        -(-0.25 * by_mu_2 + 2.0 * sign * by_cov) / (2.0 * 4.0),
        by_cov,
    ]
    assert np.allclose([float(x) for x in gradients], exact, rtol=0, atol=1e-14)


def test_torch_computes_as_numpy_does():
    torch = pytest.importorskip("torch")
    given = arguments(POINTS["middle"], RHOS)
    tensors = [torch.tensor(x) for x in given]
    for f, g in (("relu", "gelu"), ("gelu_tanh", "relu"), ("sin", "abs")):
        got = fm.cross_cov(f, g, *tensors)
        assert torch.is_tensor(got) and np.array_equal(got.numpy(), fm.cross_cov(f, g, *given))
    tensors[0].requires_grad_()
    with pytest.raises(TypeError, match="a Custom function beside relu has no closed form"):
        fm.cross_cov("gelu_tanh", "relu", *tensors)
    half = [x.detach().to(torch.bfloat16) for x in tensors]
    assert fm.cross_cov("relu", "gelu", *half).dtype == torch.bfloat16


@pytest.mark.feature("JAX", "covariances of two activations")
@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("npn", "heaviside"),
        ("npn_linear", "sin"),
        ("cos", "sin"),
        ("gaussian", "npn_linear"),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in SMOOTH_PAIRS[:3]),
    ],
)
def test_derivatives_on_jax_under_jit(one, two):
    jax = pytest.importorskip("jax")
    point, rho = DIFFERENTIATED
    with jax.enable_x64(True):
        given = [jax.numpy.asarray(x) for x in arguments(point, rho)]
        gradient = jax.jit(
            jax.grad(lambda x: fm.cross_cov(FUNCTIONS[one][0], FUNCTIONS[two][0], *x)),
        )(given)
    assert np.allclose([float(x) for x in gradient], exact_derivatives(one, two, point, rho), rtol=0, atol=1e-13)


def test_jax_computes_as_numpy_does():
    jax = pytest.importorskip("jax")
    given = arguments(POINTS["middle"], RHOS)
    with jax.enable_x64(True):
        arrays = [jax.numpy.asarray(x) for x in given]
        for f, g in (("npn", "erf"), ("sin", "gaussian")):
            got = np.asarray(fm.cross_cov(f, g, *arrays))
            assert np.abs(got - fm.cross_cov(f, g, *given)).max() <= 1e-14
        assert np.isnan(fm.cross_cov("npn", "sin", *arrays[:3], -1.0, 0.0))
        with pytest.raises(TypeError, match="sin beside relu has no closed form"):
            fm.cross_cov("sin", "relu", *arrays)
        with pytest.raises(TypeError, match="beside a Custom function has no closed form"):
            fm.cross_cov("relu", "gelu_tanh", *arrays)


@pytest.mark.feature("Dask", "covariances of two activations")
@pytest.mark.parametrize(
    ("f", "g"), [("relu", "gelu"), ("tanh", "sin"), (fm.GaussianMixture((1.0, 2.0), (1.0, 2.0)), "abs")]
)
def test_blocks_of_dask(f, g):
    da = pytest.importorskip("dask.array")
    mu_1, mu_2, var_1, var_2, cov_12 = arguments(POINTS["middle"], RHOS)
    lazy = fm.cross_cov(f, g, mu_1, mu_2, var_1, var_2, da.from_array(cov_12, chunks=4))
    assert np.array_equal(lazy.compute(), fm.cross_cov(f, g, mu_1, mu_2, var_1, var_2, cov_12))
    bad = fm.cross_cov(f, g, mu_1, mu_2, -var_1, var_2, da.from_array(cov_12, chunks=4))
    with pytest.raises(ValueError, match="var_1"):
        bad.compute()
