"""Covariances of two functions by their Hermite coefficients, where no closed form is known: on NumPy arrays.

Cov(f(X_1), g(X_2)) = sum_{n >= 1} rho^n b_n(f) b_n(g) (Mehler). An activation of the catalogue has its coefficients
in closed form, a Custom by quadrature. Beyond N terms the sum is at most |rho|^(N+1) sqrt(T_f T_g), T the sum of
b_n^2 beyond N.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmoments.composed.base import Composed
from fastmoments.pieces import Side, pieces_of
from fastmoments_kernels.custom import Custom, ToleranceError
from fastmoments_kernels.custom.hermite import neurons_of
from fastmoments_kernels.custom.series import TERMS, rho_of
from fastmoments_kernels.eager import on_numpy
from fastmoments_kernels.formulas.order import order_of

Array = NDArray[Any]
FLOOR = 1e-11  # Var f less the sum of b_n^2 counts as rounding below this share of Var f


class Coefficients(NamedTuple):
    """b_1 ... b_N of every input, (N, ...), and Var f(X)."""

    b: Array
    var: Array

    @property
    def tail(self) -> Array:
        """The share of Var f beyond the terms.

        Below FLOOR it is taken from the last half of the terms: four times their share is more than what follows
        where b_n^2 falls at least like n^(-3/2), as it does for a jump.
        """
        unit = np.where(self.var > 0.0, self.var, 1.0)
        squares = self.b**2 / unit
        beyond = np.where(self.var > 0.0, 1.0 - squares.sum(axis=0), 0.0)
        late: Array = 4.0 * squares[len(self.b) // 2 :].sum(axis=0)
        tail: Array = np.where(beyond > FLOOR, beyond, np.minimum(late, FLOOR))
        return tail


def series_cov(one: Side, two: Side, cov_12: Array, slack: float) -> Array:
    """Compute the covariance; raise ToleranceError where the bound on what is left out exceeds the tolerance."""
    rho = rho_of(one.var, two.var, cov_12, slack)
    tol = max(Custom.tol if isinstance(side.name, str) else side.name.tol or Custom.tol for side in (one, two))
    share = np.zeros(())
    for terms in TERMS:
        b_1, b_2 = _coefficients(one, terms), _coefficients(two, terms)
        share = np.nan_to_num(np.abs(rho) ** (terms + 1) * np.sqrt(b_1.tail * b_2.tail))
        if not (share > tol).any():
            return _summed(rho, b_1.b, b_2.b)
    where = np.unravel_index(int(np.argmax(share)), share.shape)
    at = float(np.broadcast_to(rho, share.shape)[where])
    raise ToleranceError(
        f"tol: {tol:g} cannot be met at rho = {at:g}: {TERMS[-1]} terms of the series of {told(one)} beside "
        f"{told(two)} leave {share[where]:.1g} of their standard deviations"
    )


def told(side: Side) -> str:
    """Name the function."""
    if isinstance(side.name, Composed):
        return side.name.name
    return side.name if isinstance(side.name, str) else "a Custom function"


def _summed(rho: Array, one: Array, two: Array) -> Array:
    """Sum rho^n one_n two_n over n >= 1; coefficients (N, ...) broadcast with rho."""
    total: Array = np.zeros(np.broadcast_shapes(rho.shape, one.shape[1:], two.shape[1:]))
    for a, b in zip(one[::-1], two[::-1], strict=True):
        total = (total + a * b) * rho
    return total


def _coefficients(side: Side, terms: int) -> Coefficients:
    """Compute the coefficients on the shape of the side's own arrays, in float64; 0 where the variance is 0."""
    arrays = np.broadcast_arrays(side.mu, side.var, *side.parameters.values())
    mu, var, *parameters = (x.astype(np.float64) for x in arrays)
    if isinstance(side.name, Custom):
        neurons = neurons_of(side.name, mu.ravel(), var.ravel(), terms)
        found, spread = neurons.b.reshape(terms, *mu.shape), neurons.var.reshape(mu.shape)
    elif isinstance(side.name, Composed):
        found, spread = side.name.coefficients(mu.ravel(), var.ravel(), terms)
        found, spread = found.reshape(terms, *mu.shape), spread.reshape(mu.shape)
    else:
        found = _closed(side, mu, var, tuple(parameters), terms)
        spread = on_numpy.elementwise(side.name, "var")(mu, var, *parameters)
    # an input without variance: 0, or nan where the mean is nan
    constant = var == 0.0
    return Coefficients(np.where(constant, 0.0 * mu, found), np.where(constant, 0.0, spread))


def _closed(side: Side, mu: Array, var: Array, parameters: tuple[Array, ...], terms: int) -> Array:
    """Compute b_1 ... b_N by the formulas of an activation, for a mixture those of its bumps."""
    if side.name != "gaussian_mixture":
        return _by_recurrence(str(side.name), mu, var, parameters, terms)
    bumps = pieces_of(side).bumps
    found = (bump.weight * _by_recurrence("gaussian", mu, var, (bump.tau, bump.center), terms) for bump in bumps)
    total: Array = sum(found, np.zeros((terms, *mu.shape)))
    return total


def _by_recurrence(name: str, mu: Array, var: Array, parameters: tuple[Array, ...], terms: int) -> Array:
    formula: Any = on_numpy.functions(name).formula
    neuron = formula.neuron(mu, var, parameters)
    start = list(formula.series(neuron))
    for n in range(3, terms + 1):
        start.append(formula.series_step(order_of(float(n)), neuron, start[-1], start[-2]))
    # a_(-1), which b_1 is given, counts for nothing
    start.insert(0, 0.0 * mu)
    orders = range(1, terms + 1)
    return np.stack([formula.coefficient(order_of(float(n)), neuron, *start[n - 1 : n + 2][::-1]) for n in orders])
