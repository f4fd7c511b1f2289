"""Means and covariances of any function, element by element: the Mehler series sum_n rho^n b_n b_n of a pair.

Beyond N terms the sum is at most |rho|^(N+1) sqrt(T_1 T_2), T = Var f - sum_{n <= N} b_n^2 (Cauchy, Schwarz): this
bound is known, and is checked.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastmoments_kernels.custom.activation import Custom, ToleranceError
from fastmoments_kernels.custom.evaluation import ROUNDING
from fastmoments_kernels.custom.hermite import Neurons, differentiable, neurons_of
from fastmoments_kernels.kinds import slack_of

Array = np.ndarray[Any, Any]

TERMS = tuple(2**k for k in range(5, 11))  # tried in turn until what is left out is within the tolerance


def correlated(
    activation: Custom, mu: Array, var: Array, worst: Callable[[Neurons, int], tuple[float, str]]
) -> Neurons:
    """Neurons with enough terms for the tolerance; `worst` is the largest share of a covariance left out."""
    for terms in TERMS:
        neurons = neurons_of(activation, mu, var, terms)
        error, where = worst(neurons, terms)
        if not error > activation.tol:
            return neurons
    raise ToleranceError(
        f"tol: {activation.tol:g} cannot be met at {where}: {TERMS[-1]} terms of the series leave {error:.1g}; "
        "f is too steep beside the standard deviation for a correlation near one"
    )


def left_out(rho: Array, tail_1: Array, tail_2: Array, terms: int) -> Array:
    """|rho|^(N+1) sqrt(T_1 T_2), relative to the variances; 0 where T is rounding."""
    share = np.sqrt(tail_1 * tail_2)
    bound: Array = np.where(share > 100 * ROUNDING, np.abs(rho) ** (terms + 1) * share, 0.0)
    return bound


def rho_of(var_1: Array, var_2: Array, cov_12: Array, slack: float) -> Array:
    """The correlation; 0 for a neuron without variance, nan beyond 1 by more than rounding."""
    with np.errstate(all="ignore"):
        alive = (var_1 > 0.0) & (var_2 > 0.0)  # their product may be 0
        rho = np.where(alive, cov_12 / np.sqrt(var_1) / np.sqrt(var_2), 0.0 * var_1 + 0.0 * var_2)
    clipped: Array = np.where(np.abs(rho) <= np.sqrt(1.0 + slack), np.clip(rho, -1.0, 1.0), np.nan)
    return clipped


def _series(rho: Array, one: Array, two: Array, first: int) -> Array:
    """sum over n >= first of rho^n one_n two_n; rows of `one` and `two` begin at order `first`, 0 or 1."""
    total: Array = np.zeros(np.broadcast_shapes(rho.shape, one.shape[1:], two.shape[1:]))
    for a, b in zip(one[::-1], two[::-1], strict=True):
        total = total * rho + a * b
    return total * rho if first else total


def cov_of(one: Neurons, two: Neurons, rho: Array) -> Array:
    return _series(rho, one.b, two.b, 1)


def cov_raised(one: Neurons, two: Neurons, rho: Array, order: int) -> Array:
    raised = one.raised(order)
    return _series(rho, raised[1:], two.b[: len(raised) - 1], 1)


def product_11(one: Neurons, two: Neurons, rho: Array) -> Array:
    return _series(rho, one.raised(1), two.raised(1), 0)


def _partials(one: Neurons, two: Neurons, rho: Array) -> tuple[Array, ...]:
    return (
        cov_raised(one, two, rho, 1),
        cov_raised(two, one, rho, 1),
        0.5 * cov_raised(one, two, rho, 2),
        0.5 * cov_raised(two, one, rho, 2),
        product_11(one, two, rho),
    )


def var_partials(x: Neurons) -> tuple[Array, Array]:
    """(dVar/dmu, dVar/dvar), by parts from E g^2 and (E g)^2: at rho = 1 the series need not converge."""
    by_mu = x.square_1 - 2.0 * x.shift * x.b[0]
    by_var = 0.5 * x.square_2 - np.sqrt(2.0) * x.shift * x.b[1]
    # near var = 0, Var f is f'^2 var
    certain = x.raised(1)[0] ** 2
    return by_mu * x.inverse_sd, np.where(x.inverse_sd > 0.0, by_var * x.inverse_sd * x.inverse_sd, certain)


NEURON: dict[str, Callable[[Neurons], Any]] = {
    "mean": lambda x: x.at_mu + x.shift,
    "gain": lambda x: x.raised(1)[0],
    "var": lambda x: x.var,
    "marginals": lambda x: (x.at_mu + x.shift, x.var),
    "mean_dvar": lambda x: 0.5 * x.raised(2)[0],
    "var_partials": var_partials,
    "gain_partials": lambda x: (x.raised(2)[0], 0.5 * x.raised(3)[0]),
}
VALUES = ("mean", "var", "marginals")  # the functions of NEURON that are no derivatives
# Derivatives along the inputs, beside those of kinds.py: there a formula's own derivative serves
SLOPES = {"gain": ("gain_partials",)}


def settled(
    activation: Custom, compute: Callable[[int], tuple[Array, ...]], units: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Derivatives with so many terms that twice as many agree with them to the tolerance: they have no bound.

    Those of one call are judged together, each times its unit, because some of them may be 0.
    """
    before = compute(TERMS[0])
    for terms in TERMS[1:]:
        now = compute(terms)
        if _same(before, now, units, activation.tol):
            return now
        before = now
    raise ToleranceError(
        f"tol: derivatives of f(X) cannot be had to {activation.tol:g} by {TERMS[-1]} terms of the series; "
        "f is too steep beside the standard deviation"
    )


def _same(before: tuple[Array, ...], now: tuple[Array, ...], units: tuple[Array, ...], tol: float) -> bool:
    size = change = 0.0
    for old, new, unit in zip(before, now, units, strict=True):
        value = new * unit
        finite = np.isfinite(value)
        size = max(size, np.abs(value[finite]).max(initial=0.0))
        change = max(change, np.abs((new - old) * unit)[finite].max(initial=0.0))
    return change <= tol * size


def elementwise(activation: Custom, name: str, inputs: int | None = None) -> Callable[..., Any]:
    """The function `name` (of NEURON, cov or cov_partials) on NumPy arrays that broadcast, computed in float64."""
    return partial(_neurons_call if name in NEURON else _pairs_call, activation, name)


def _neurons_call(activation: Custom, name: str, mu: Array, var: Array) -> Any:
    mu, var = np.broadcast_arrays(mu, var)
    flat_mu, flat_var = (np.ravel(x).astype(np.float64) for x in (mu, var))
    neurons = neurons_of if name in VALUES else differentiable
    values = NEURON[name](neurons(activation, flat_mu, flat_var, TERMS[0]))
    return _shaped(values, mu.shape, np.result_type(mu, var))


def _pairs_call(activation: Custom, name: str, *arrays: Array) -> Any:
    arrays = tuple(np.broadcast_arrays(*arrays))
    dtype = np.result_type(*arrays)
    mu_1, mu_2, var_1, var_2, cov_12 = (np.ravel(x).astype(np.float64) for x in arrays)
    mu, var = np.concatenate([mu_1, mu_2]), np.concatenate([var_1, var_2])
    rho, m = rho_of(var_1, var_2, cov_12, slack_of(2, float(np.finfo(dtype).eps))), mu_1.size

    def worst(neurons: Neurons, terms: int) -> tuple[float, str]:
        shares = np.nan_to_num(left_out(rho, neurons.tail[:m], neurons.tail[m:], terms))
        i = int(np.argmax(shares)) if m else 0
        return (float(shares[i]), f"rho = {rho[i]:g}") if m else (0.0, "")

    def halves(neurons: Neurons) -> tuple[Neurons, Neurons]:
        return Neurons(*(x[..., :m] for x in neurons)), Neurons(*(x[..., m:] for x in neurons))

    if name == "cov":
        values: Any = cov_of(*halves(correlated(activation, mu, var, worst)), rho)
    else:
        with np.errstate(all="ignore"):
            sd_1, sd_2 = np.sqrt(var_1), np.sqrt(var_2)
        units = sd_1, sd_2, var_1, var_2, sd_1 * sd_2
        values = settled(
            activation, lambda terms: _partials(*halves(differentiable(activation, mu, var, terms)), rho), units
        )
    return _shaped(values, arrays[0].shape, dtype)


def _shaped(value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_shaped(x, shape, dtype) for x in value)
    return value.astype(dtype).reshape(shape)[()]
