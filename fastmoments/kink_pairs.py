"""Covariances of two kinks of different orders, F_2 = relu, F_1 = step, F_0 = delta, with their derivatives.

A derivative of a covariance is the covariance of derivatives (Price), and so again a partial derivative of relu's
or the step's. Those along variances follow from the others, as F_j(a y) = a^(j-1) F_j(y), by Euler's relation for
homogeneous functions. Automatic differentiation would take the integrals apart, and has nothing at |rho| = 1,
where they are empty.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from fastmoments.elementwise import cov, cov_partials, gain, mean
from fastmoments.frameworks import Framework
from fastmoments.frameworks.products import finite
from fastmoments.results import CovPartials
from fastmoments_kernels.catalogue import Heaviside, ReLU

Pair = tuple[Any, ...]  # mu_1, mu_2, var_1, var_2, cov_12


def kink_pair_cov(library: Framework[Any], low: int, high: int, pair: Pair) -> Any:
    """Compute Cov(F_low(Y_1), F_high(Y_2)), low <= high, with noise in the variances already."""
    if low == high:
        return cov(ReLU if high == 2 else Heaviside, *pair)
    function, slopes = MIXED[low, high]
    return library.with_partials(function, partial(slopes, library.xp), pair)


def kink_pair_partials(library: Framework[Any], low: int, high: int, pair: Pair) -> Pair:
    """Compute the derivatives of `kink_pair_cov` along its five arguments, 0 in place of infinity."""
    if low == high:
        return tuple(cov_partials(ReLU if high == 2 else Heaviside, *pair))
    return MIXED[low, high][1](library.xp, *pair)


def _step_ramp(*pair: Any) -> Any:
    return cov_partials(ReLU, *pair).d_mu_1


def _delta_ramp(*pair: Any) -> Any:
    return 2.0 * cov_partials(ReLU, *pair).d_var_1


def _delta_step(*pair: Any) -> Any:
    return cov_partials(Heaviside, *pair).d_mu_1


class _Apart(NamedTuple):
    """Means E F_0 and E F_1 of both neurons, and the partial derivatives of the steps' covariance."""

    density_1: Any
    density_2: Any
    step_2: Any
    steps: CovPartials[Any]


def _apart(pair: Pair) -> _Apart:
    mu_1, mu_2, var_1, var_2, _ = pair
    densities = gain(Heaviside, mu_1, var_1), gain(Heaviside, mu_2, var_2)
    return _Apart(*densities, mean(Heaviside, mu_2, var_2), cov_partials(Heaviside, *pair))


def _step_ramp_slopes(xp: Any, *pair: Any) -> Pair:
    mu_1, _, var_1, _, cov_12 = pair
    apart = _apart(pair)
    by_mu_1 = _delta_ramp(*pair)
    by_cov = apart.steps.d_mu_1 + apart.density_1 * apart.step_2
    by_var_1 = _over(xp, -0.5 * (mu_1 * by_mu_1 + cov_12 * by_cov), var_1)
    return _finite(xp, by_mu_1, cov(Heaviside, *pair), by_var_1, 0.5 * apart.steps.d_mu_2, by_cov)


def _delta_ramp_slopes(xp: Any, *pair: Any) -> Pair:
    mu_1, _, var_1, _, cov_12 = pair
    apart, value = _apart(pair), _delta_ramp(*pair)
    of_steps = apart.steps.d_mu_1 + apart.density_1 * apart.step_2  # E F_0 F_1
    by_mu_1 = _over(xp, -(mu_1 * value + cov_12 * of_steps), var_1)
    by_cov = 2.0 * apart.steps.d_var_1 - _over(xp, mu_1 * apart.density_1 * apart.step_2, var_1)
    by_var_1 = _over(xp, -0.5 * (value + mu_1 * by_mu_1 + cov_12 * by_cov), var_1)
    by_var_2 = 0.5 * (apart.steps.d_cov_12 - apart.density_1 * apart.density_2)
    return _finite(xp, by_mu_1, apart.steps.d_mu_1, by_var_1, by_var_2, by_cov)


def _delta_step_slopes(xp: Any, *pair: Any) -> Pair:
    mu_1, mu_2, var_1, var_2, cov_12 = pair
    apart = _apart(pair)
    by_mu_1, by_mu_2 = 2.0 * apart.steps.d_var_1, apart.steps.d_cov_12 - apart.density_1 * apart.density_2
    slope = _over(xp, cov_12 * mu_2 - var_2 * mu_1, var_1 * var_2 - cov_12 * cov_12)
    by_cov = slope * apart.steps.d_cov_12  # the derivative of the density at 0
    by_var_1 = _over(xp, -0.5 * (apart.steps.d_mu_1 + mu_1 * by_mu_1 + cov_12 * by_cov), var_1)
    by_var_2 = _over(xp, -0.5 * (mu_2 * by_mu_2 + cov_12 * by_cov), var_2)
    return _finite(xp, by_mu_1, by_mu_2, by_var_1, by_var_2, by_cov)


def _over(xp: Any, value: Any, divisor: Any) -> Any:
    """Return value / divisor, 0 where the divisor is not positive."""
    positive = divisor > 0.0
    return xp.where(positive, value / xp.where(positive, divisor, xp.ones_like(divisor)), xp.zeros_like(value))


def _finite(xp: Any, *slopes: Any) -> Pair:
    return tuple(finite(xp, slope) for slope in slopes)


MIXED: dict[tuple[int, int], tuple[Callable[..., Any], Callable[..., Pair]]] = {
    (1, 2): (_step_ramp, _step_ramp_slopes),
    (0, 2): (_delta_ramp, _delta_ramp_slopes),
    (0, 1): (_delta_step, _delta_step_slopes),
}
