"""A bump beside a function without a closed form, where there is no series: by the bump's tilt of the density."""

import numpy as np
import pytest

import fastmoments as fm

# the tolerance of fm.Custom's means, of the spread, a few times over
TOL = 1e-9
POINT = (0.3, -0.4, 1.2, 0.7)  # mu_1, mu_2, var_1, var_2


def integral(cov_12):
    """Cov(exp(-0.7 (X - 0.2)^2 / 2), tanh(Y)) on a grid of standard normal numbers, exact for smooth functions."""
    mu_1, mu_2, var_1, var_2 = POINT
    z, w = np.polynomial.hermite_e.hermegauss(160)
    w = w / w.sum()
    x = mu_1 + np.sqrt(var_1) * z[:, None]
    rest = np.sqrt(max(var_2 - cov_12**2 / var_1, 0.0))
    y = mu_2 + cov_12 / np.sqrt(var_1) * z[:, None] + rest * z
    f, g = np.exp(-0.35 * (x - 0.2) ** 2), np.tanh(y)
    weights = w[:, None] * w
    return np.sum(weights * f * g) - np.sum(weights * f) * np.sum(weights * g)


def found(cov_12, convert, custom):
    return fm.cross_cov(fm.Gaussian(tau=0.7, center=0.2), custom, *map(convert, (*POINT, cov_12)))


CORRELATIONS = [-0.9, 1e-3, 0.5, np.sqrt(POINT[2] * POINT[3])]


@pytest.mark.parametrize("cov_12", CORRELATIONS)
def test_on_jax(cov_12):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        value = found(cov_12, jax.numpy.asarray, "tanh")
        assert abs(value - integral(cov_12)) <= TOL
        swapped = fm.cross_cov("tanh", fm.Gaussian(tau=0.7, center=0.2), *(jax.numpy.asarray(POINT[i]) for i in (1, 0, 3, 2)), cov_12)  # fmt: skip  # noqa: E501
        assert abs(swapped - value) <= TOL


def test_gradients_of_tensors():
    torch = pytest.importorskip("torch")
    cov_12 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    value = found(cov_12, lambda x: torch.as_tensor(x, dtype=torch.float64), "tanh")
    value.backward()
    step = 1e-4
    slope = (integral(0.5 + step) - integral(0.5 - step)) / (2.0 * step)  # off by step^2 times a third derivative
    assert abs(value.item() - integral(0.5)) <= TOL and abs(cov_12.grad.item() - slope) <= 1e-7
