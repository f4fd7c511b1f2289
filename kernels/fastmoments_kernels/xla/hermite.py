"""Hermite coefficients of any traced function, by quadrature of a fixed size, with a check in place of a search.

Everything is in units of the standard deviation: q(Z) = (f(mu + sd Z) - f(mu)) / sd, so that nothing is lost where
sd is small or 0. There the difference is f's rounding. Taylor's polynomial, with JAX's derivatives of f, stands for
it at every node at which the two agree up to f's rounding.

Panels end at kinks and follow them, so that JAX differentiates the sums rightly also where f or f' jumps.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from fastmoments_kernels.custom import Custom
from fastmoments_kernels.custom.hermite import BENDS, REACH
from fastmoments_kernels.tables import LEGENDRE_24
from fastmoments_kernels.xla.traced import function_of

ROUNDING = 64  # of f, in eps
NEAR = BENDS[:8]  # the others are beyond 500
# Panels are at most this many times 1 / sqrt(terms) long. He_n has waves of 2 pi / sqrt(n): half a panel, with 24
# nodes, has three
PER_PANEL = 36.0
FEW = 3  # coefficients of which half as many nodes have to agree
ROOT = math.sqrt(2.0 * math.pi)
Function = Callable[[Array], Array]


class Neurons(NamedTuple):
    """q of neurons (...): E q, coefficients b (terms, ...) from b_1, E c^2 He_n for c = q - E q and n = 0, 1, 2.

    inverse_sd is 1 / sd, 0 at variance 0. slopes (3, ...) are f', f'' and f''' at mu, and size is sqrt(E q^2).
    """

    at_mu: Array
    sd: Array
    inverse_sd: Array
    slopes: Array
    shift: Array
    b: Array
    squares: Array
    size: Array

    @property
    def mean(self) -> Array:
        return self.at_mu + self.sd * self.shift

    @property
    def var(self) -> Array:
        return self.sd * self.squares[0] * self.sd

    @property
    def var_partials(self) -> tuple[Array, Array]:
        """By parts: E (f - E f)^2 He_1 / sd and E (f - E f)^2 He_2 / (2 var)."""
        by_var = jnp.where(self.sd > 0.0, 0.5 * self.squares[2], self.slopes[0] ** 2)
        return self.sd * self.squares[1], by_var

    def slope(self, order: int) -> Array:
        """E f', E f'' or E f''': by parts, sqrt(order!) b_order / sd^(order - 1)."""
        raised = math.sqrt(math.factorial(order)) * self.b[order - 1]
        for _ in range(order - 1):
            raised = raised * self.inverse_sd
        return jnp.where(self.sd > 0.0, raised, self.slopes[order - 1])

    @property
    def tail(self) -> Array:
        """The share of Var q that the coefficients leave out; 0 where Var q is f's rounding."""
        rounding = _rounding(self.at_mu) * self.inverse_sd
        alive = self.squares[0] > rounding * rounding
        left = self.squares[0] - jnp.sum(self.b * self.b, axis=0)
        return jnp.where(alive, jnp.maximum(left, 0.0) / jnp.where(alive, self.squares[0], 1.0), 0.0)


class _Point(NamedTuple):
    """The integrands' numbers of a neuron; taylor (3, ...) are f', f'', f''' at mu, or 0 where sd is not small."""

    mu: Array
    sd: Array
    inverse_sd: Array
    at_mu: Array
    taylor: Array


class _Integrals(NamedTuple):
    """The last four fields of Neurons, and an estimate of the share of E q^2 beyond the reach."""

    shift: Array
    b: Array
    squares: Array
    size: Array
    beyond: Array


def neurons_of(activation: Custom, mu: Array, var: Array, terms: int) -> Neurons:
    """Integrate f at every neuron; nan where half as many nodes do not agree with the result to the tolerance."""
    f = function_of(activation)
    at_mu, sd = f(mu), jnp.sqrt(var)
    inverse_sd = jnp.where(var > 0.0, 1.0 / jnp.where(var > 0.0, sd, 1.0), 0.0 * var)
    slopes, smooth = _slopes(activation, f, mu)
    # differences of f have as many digits as a cubic polynomial at about an eighth of this
    narrow = smooth & (sd <= 8.0 * _eps(mu) ** 0.25 * jnp.maximum(1.0, jnp.abs(mu)))
    # a cubic polynomial has no derivatives of its slopes along the variance: make them nan
    sd = jnp.where(narrow, sd + 0.0 * jnp.sqrt(var - lax.stop_gradient(var)), sd)
    point = _Point(mu, sd, inverse_sd, at_mu, jnp.where(narrow, slopes, 0.0))
    ends = _ends(activation, mu, inverse_sd, terms)
    coarse = _integrated(f, point, _nodes(ends, 1), FEW)
    fine = _integrated(f, point, _nodes(ends, 2), terms)
    settled = _agree(coarse, fine, tolerance(activation, mu), _rounding(at_mu) * inverse_sd)
    # added, so that what is nan already remains so
    unknown = jnp.where(settled, 0.0, jnp.nan)
    shift, b, squares = (x + unknown for x in fine[:3])
    return Neurons(at_mu, sd, inverse_sd, slopes + 0.0 * sd, shift, b, squares, fine.size)


def tolerance(activation: Custom, like: Array) -> float:
    """The activation's tolerance, or what rounding allows in the arrays' dtype."""
    return max(activation.tol, ROUNDING * _eps(like))


def _eps(like: Array) -> float:
    return float(np.finfo(like.dtype).eps)


def _rounding(value: Array) -> Array:
    return ROUNDING * _eps(value) * jnp.abs(value)


def _slopes(activation: Custom, f: Function, mu: Array) -> tuple[Array, Array]:
    """(f', f'', f''') at mu, and whether no kink is there.

    On a kink f' and f'' are the means of both sides, nan from the first that jumps; f''' is nan.
    """
    first, second = _derivative(f), _derivative(_derivative(f))
    slopes = jnp.stack([first(mu), second(mu), _derivative(second)(mu)])
    if not activation.kinks:
        return slopes, jnp.full(mu.shape, True)
    bent = jnp.any(jnp.stack([mu == kink for kink in activation.kinks]), axis=0)
    step = 4.0 * _eps(mu) * jnp.maximum(1.0, jnp.abs(mu))
    sides = [(g(mu - step), g(mu + step)) for g in (f, first, second)]
    unknown, on_kink = jnp.zeros_like(mu), []
    for lower, (left, right) in itertools.pairwise(sides):
        # further apart than the slopes, or rounding, let them be
        allowed = 1e3 * step * (jnp.abs(left) + jnp.abs(right)) + _rounding(lower[0]) + _rounding(lower[1])
        unknown = jnp.where(jnp.abs(lower[1] - lower[0]) > allowed, jnp.nan, unknown)
        on_kink.append(0.5 * (left + right) + unknown)
    return jnp.where(bent, jnp.stack([*on_kink, jnp.full_like(mu, jnp.nan)]), slopes), ~bent


def _derivative(f: Function) -> Function:
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


def _ends(activation: Custom, mu: Array, inverse_sd: Array, terms: int) -> Array:
    """Ends of panels (..., ends) in z: regular ones, kinks, and bends, which need not follow mu and sd exactly."""
    regular = max(4, math.ceil(2.0 * REACH * math.sqrt(terms) / PER_PANEL))
    fixed = jnp.linspace(-REACH, REACH, regular + 1, dtype=mu.dtype)
    points = (jnp.asarray(x, mu.dtype) - mu[..., None] for x in (activation.kinks, NEAR))
    kinks, bends = (jnp.clip(x * inverse_sd[..., None], -REACH, REACH) for x in points)
    fixed = jnp.broadcast_to(fixed, (*mu.shape, regular + 1))
    return jnp.sort(jnp.concatenate([fixed, kinks, lax.stop_gradient(bends)], axis=-1), axis=-1)


def _nodes(ends: Array, parts: int) -> tuple[Array, Array]:
    """Nodes z, and weights times phi, (..., nodes), with every panel in so many parts."""
    rule = jnp.asarray(LEGENDRE_24, ends.dtype)
    places = jnp.concatenate([(rule[:, 0] + k) / parts for k in range(parts)])
    share = jnp.tile(rule[:, 1] / parts, parts)
    length = jnp.diff(ends)[..., None]
    shape = *ends.shape[:-1], length.shape[-2] * places.size  # not -1: there may be no neurons
    z = (ends[..., :-1, None] + length * places).reshape(shape)
    weight = (length * share).reshape(shape) * jnp.exp(-0.5 * z * z) / ROOT
    return z, weight


def _integrated(f: Function, point: _Point, nodes: tuple[Array, Array], terms: int) -> _Integrals:
    mu, sd, inverse_sd, at_mu = (x[..., None] for x in point[:4])
    z, weight = nodes
    # q is linear z + bent z^2 / 2 + cubic z^3 / 6 + rest
    linear, bent, cubic = (x * point.sd**k for k, x in enumerate(point.taylor))
    parabola = z * (linear[..., None] + z * (bent[..., None] / 2.0 + z * cubic[..., None] / 6.0))
    change = f(mu + sd * z) - at_mu
    rounding = _rounding(jnp.abs(at_mu) + jnp.abs(change)) + _eps(mu) * jnp.abs(mu * point.taylor[0][..., None])
    rest = jnp.where(jnp.abs(change - sd * parabola) > rounding, change * inverse_sd - parabola, 0.0)
    q, weighted = parabola + rest, weight * rest
    shift = bent / 2.0 + jnp.sum(weighted, axis=-1)
    centred = q - shift[..., None]
    square = weight * centred * centred
    squares = jnp.stack([jnp.sum(square * he, axis=-1) for he in (1.0, z, z * z - 1.0)])
    low = jnp.stack([linear + cubic / 2.0, bent / math.sqrt(2.0), cubic / math.sqrt(6.0)])
    b = _coefficients(z, weighted, terms).at[:FEW].add(low)
    mean_square = squares[0] + shift * shift
    ends = (q[..., 0] ** 2 + q[..., -1] ** 2) * (math.exp(-0.5 * REACH**2) / ROOT)
    beyond = ends / jnp.where(mean_square > 0.0, mean_square, 1.0)
    return _Integrals(shift, b, squares, jnp.sqrt(mean_square), beyond)


def _coefficients(z: Array, weighted: Array, terms: int) -> Array:
    """Sums of weighted He_n / sqrt(n!) for n = 1 ... terms, (terms, ...)."""
    n = jnp.arange(terms, dtype=z.dtype)
    factors = 1.0 / jnp.sqrt(n + 1.0), jnp.sqrt(n) / jnp.sqrt(n + 1.0)

    def step(carry: tuple[Array, Array], factor: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        last, this = carry
        following = z * (factor[0] * this) - factor[1] * last
        return (this, following), jnp.sum(following, axis=-1)

    # two steps at a time, because a single one copies the carry: three times as long
    _, b = lax.scan(step, (jnp.zeros_like(z), weighted), factors, unroll=2)
    return b


def _agree(coarse: _Integrals, fine: _Integrals, tol: float, rounding: Array) -> Array:
    """Whether twice as many nodes changed a neuron by no more than the tolerance and f's rounding.

    Comparisons are such that nan agrees: it is nan already.
    """
    limit = tol * fine.size + rounding
    change = jnp.maximum(jnp.abs(fine.shift - coarse.shift), jnp.abs(fine.b[:FEW] - coarse.b).max(axis=0))
    squares = jnp.abs(fine.squares - coarse.squares).max(axis=0)
    return ~((change > limit) | (squares > 4.0 * limit * fine.size) | (fine.beyond > tol))
