"""Every function of an activation without a closed form on JAX's arrays, by the Mehler series of a fixed length.

A long series follows where a short one leaves more than the tolerance. Where the long one does too, the result is
nan, because nothing can be raised while JAX traces.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from fastmoments_kernels.custom import Custom
from fastmoments_kernels.xla.hermite import FEW, Neurons, neurons_of, tolerance
from fastmoments_kernels.xla.vocabulary import WORDS, rule

SHORT, LONG = 62, 1022  # terms; a derivative needs two coefficients more

Sides = Callable[[Any], tuple[Any, Any]]  # an array of neurons -> those of the pairs' first and second members


class SeriesFunctions:
    """The functions of one activation, as `arrays.ArrayFunctions` has them for those with a formula.

    Arguments broadcast; everything is computed in their dtype. Derivatives are rules, which hold at variance 0 too.
    """

    def __init__(self, activation: Custom) -> None:
        self._neurons = partial(neurons_of, activation, terms=FEW)
        self._activation = activation
        self.gain = rule(
            lambda *x: self._neurons(*x).slope(1), lambda *x: (self._slope(2, *x), 0.5 * self._slope(3, *x))
        )
        self.mean = rule(lambda *x: self._neurons(*x).mean, lambda *x: (self.gain(*x), 0.5 * self._slope(2, *x)))
        self.var = rule(lambda *x: self._neurons(*x).var, lambda *x: self._neurons(*x).var_partials)

    def _slope(self, order: int, mu: Array, var: Array) -> Array:
        return self._neurons(mu, var).slope(order)

    def elementwise(self, name: str) -> Callable[..., Any]:
        """The function `name`: mean, var, gain, marginals, cov, cov_partials."""
        function: Callable[..., Any] = getattr(self, name)
        return function

    def mean_dvar(self, mu: Array, var: Array) -> Array:
        """E f''(X) / 2."""
        return 0.5 * self._slope(2, mu, var)

    def marginals(self, mu: Array, var: Array) -> tuple[Array, Array]:
        """(E f(X), Var f(X))."""
        return self.mean(mu, var), self.var(mu, var)

    def cov(self, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array, cov_12: Array, slack: float) -> Array:
        """Cov(f(X_1), f(X_2))."""
        joint = self._joint(_halves, slack)
        return joint(jnp.stack([mu_1, mu_2], -1), jnp.stack([var_1, var_2], -1), cov_12)[2]

    def cov_partials(
        self, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array, cov_12: Array, slack: float
    ) -> tuple[Array, ...]:
        """d cov along its five arguments."""
        inputs = jnp.stack([mu_1, mu_2], -1), jnp.stack([var_1, var_2], -1), cov_12
        partials: tuple[Array, ...] = _with_partials(self._activation, _halves, slack, *inputs)[1]
        return partials

    def moments(self, mu: Array, cov: Array, slack: float) -> tuple[Array, Array]:
        """Mean and covariance of f(X) for mu (..., n), by the upper triangle of cov (..., n, n)."""
        above = jnp.triu(jnp.ones(cov.shape[-2:], bool), 1)
        mean, var, pairs = self._joint(_rows_and_columns, slack)(
            mu, WORDS.diagonal(cov), jnp.where(above, cov, 0.0)
        )
        diagonal = jnp.where(jnp.eye(mu.shape[-1], dtype=bool), var[..., None], WORDS.transpose(pairs))
        return mean, jnp.where(above, pairs, diagonal)

    def _joint(self, sides: Sides, slack: float) -> Callable[..., tuple[Array, Array, Array]]:
        """The function (mu, var, cov_12) -> (means, variances, covariances of pairs)."""

        @jax.custom_jvp
        def joint(mu: Array, var: Array, cov_12: Array) -> tuple[Array, Array, Array]:
            values: tuple[Array, Array, Array] = _by_length(
                partial(_values, self._activation, sides, slack, (mu, var, cov_12))
            )
            return values

        @joint.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (mean, var, pairs), partials, (gain, bend), of_var = _with_partials(
                self._activation, sides, slack, *primals
            )
            mu_dot, var_dot, cov_dot = tangents
            along = (*sides(mu_dot), *sides(var_dot), cov_dot)
            dots = (
                gain * mu_dot + 0.5 * bend * var_dot,
                of_var[0] * mu_dot + of_var[1] * var_dot,
                sum(slope * dot for slope, dot in zip(partials, along, strict=True)),
            )
            return (mean, var, pairs), dots

        return joint


def _halves(neurons: Array) -> tuple[Array, Array]:
    return neurons[..., 0], neurons[..., 1]


def _rows_and_columns(neurons: Array) -> tuple[Array, Array]:
    return neurons[..., :, None], neurons[..., None, :]


def _by_length(compute: Callable[[int], tuple[Array, Any]]) -> Any:
    """The result of a short series, or of a long one if any pair needs it; compute(terms) -> (settled, result)."""
    settled, short = compute(SHORT)
    return lax.cond(settled, lambda: short, lambda: compute(LONG)[1])


def _values(activation: Custom, sides: Sides, slack: float, inputs: Any, terms: int) -> tuple[Array, Any]:
    """Whether all pairs are within the tolerance, and (means, variances, covariances), nan where they are not."""
    neurons, one, two, rho = _pairs(activation, sides, slack, inputs, terms)
    settled = _is_bounded(activation, one, two, rho, terms)
    (sums,) = _horner(rho, ((one.b, two.b),))
    return settled.all(), (neurons.mean, neurons.var, _covariance(one, two, rho, jnp.where(settled, sums, jnp.nan)))


def _is_bounded(activation: Custom, one: Neurons, two: Neurons, rho: Array, terms: int) -> Array:
    """Whether what the series leaves out, at most |rho|^(N+1) sqrt(T_1 T_2), is within the tolerance."""
    left = jnp.abs(rho) ** (terms + 1) * jnp.sqrt(one.tail * two.tail)
    return ~(left > tolerance(activation, rho))


def _covariance(one: Neurons, two: Neurons, rho: Array, sums: Array) -> Array:
    return one.sd * two.sd * rho * sums


def _with_partials(activation: Custom, sides: Sides, slack: float, *inputs: Array) -> Any:
    """(means, variances, covariances), (d cov along each input), (E f', E f''), (d var along mu and var)."""
    return _by_length(partial(_partials, activation, sides, slack, inputs))


def _partials(activation: Custom, sides: Sides, slack: float, inputs: Any, terms: int) -> tuple[Array, Any]:
    """`_values` with derivatives, which have no bound: they are nan where half as many terms do not agree."""
    neurons, one, two, rho = _pairs(activation, sides, slack, inputs, terms + 2)
    b, n = neurons.b, jnp.arange(1.0, terms + 1.0, dtype=rho.dtype).reshape(-1, *(1,) * (neurons.b.ndim - 1))
    raised = jnp.sqrt(n + 1.0) * b[1:-1], jnp.sqrt((n + 1.0) * (n + 2.0)) * b[2:]
    # without variance E f' is no integral
    first = (jnp.sqrt(n) * b[:-2]).at[0].set(neurons.slope(1))
    (a, b), (raised_a, raised_b), (bent_a, bent_b), slopes = map(sides, (b[:-2], *raised, first))
    # in units of both standard deviations
    factors = (a, b), (raised_a, b), (a, raised_b), (bent_a, b), (a, bent_b), slopes
    half = terms // 2
    low, high = (_horner(rho, [(x[k], y[k]) for x, y in factors]) for k in (slice(half), slice(half, None)))
    high = [x * rho**half for x in high]
    sums = [x + y for x, y in zip(low, high, strict=True)]
    size = jnp.maximum(one.size * two.size, _largest(sums[1:]))
    agrees = ~(_largest(high[1:]) > tolerance(activation, rho) * size)
    settled = _is_bounded(activation, one, two, rho, terms)
    scales = (
        rho * two.sd,
        rho * one.sd,
        0.5 * rho * two.sd * one.inverse_sd,
        0.5 * rho * one.sd * two.inverse_sd,
        jnp.ones_like(rho),
    )
    return (settled & agrees).all(), (
        (neurons.mean, neurons.var, _covariance(one, two, rho, jnp.where(settled, sums[0], jnp.nan))),
        tuple(scale * jnp.where(agrees, x, jnp.nan) for scale, x in zip(scales, sums[1:], strict=True)),
        (neurons.slope(1), neurons.slope(2)),
        neurons.var_partials,
    )


def _largest(arrays: Sequence[Array]) -> Array:
    return jnp.abs(jnp.stack(arrays)).max(axis=0)


def _pairs(
    activation: Custom, sides: Sides, slack: float, inputs: Any, terms: int
) -> tuple[Neurons, Neurons, Neurons, Array]:
    """All neurons, each pair's first and second, and its correlation: 0 without variance, nan beyond 1."""
    mu, var, cov_12 = inputs
    neurons = neurons_of(activation, mu, var, terms)
    one, two = (Neurons(*x) for x in zip(*map(sides, neurons), strict=True))
    alive = (one.sd > 0.0) & (two.sd > 0.0)
    rho = jnp.where(alive, cov_12 * one.inverse_sd * two.inverse_sd, 0.0 * one.sd + 0.0 * two.sd)
    rho = jnp.where(jnp.abs(rho) <= (1.0 + slack) ** 0.5, jnp.clip(rho, -1.0, 1.0), jnp.nan)
    return neurons, one, two, rho


def _horner(rho: Array, factors: Sequence[tuple[Array, Array]]) -> list[Array]:
    """sum over n of rho^n a_n b_n, from n = 0, for each (a, b) of the factors."""

    def step(totals: list[Array], rows: Sequence[tuple[Array, Array]]) -> tuple[list[Array], None]:
        return [total * rho + a * b for total, (a, b) in zip(totals, rows, strict=True)], None

    sums: list[Array]
    sums, _ = lax.scan(step, [jnp.zeros_like(rho) for _ in factors], factors, reverse=True)
    return sums
