"""Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!) of any function, by quadrature to a tolerance."""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.custom.activation import Custom, ToleranceError
from fastmoments_kernels.tables import LEGENDRE_24

Array = np.ndarray[Any, Any]

REACH = 13.0  # He_n(z) phi(z) / sqrt(n!) < exp(-z^2/4): 4e-19 here, room for an f that grows
PANELS = tuple(2**k for k in range(2, 11))  # tried in turn until two agree
ROUNDING = 64 * float(np.finfo(np.float64).eps)
CHUNK = 1 << 21  # function values at a time


class Neurons(NamedTuple):
    """A few neurons, flat, of g = f(X) - f(mu): f(mu), E g, b_1 ... b_N as (N, m), E g^2 He_1, E g^2 He_2, Var f.

    And 1 / sd, 0 at variance 0, and slopes: f' and f'' at mu, (2, m), of those without variance where
    `slopes.differentiable` looked for them.
    """

    at_mu: Array
    shift: Array
    b: Array
    square_1: Array
    square_2: Array
    var: Array
    inverse_sd: Array
    slopes: Array

    @property
    def tail(self) -> Array:
        """T / Var f, the share of the variance that the coefficients leave out."""
        alive = self.var > 0.0
        left = np.where(alive, self.var - np.sum(self.b**2, axis=0), 0.0)
        return np.maximum(left, 0.0) / np.where(alive, self.var, 1.0)

    def raised(self, order: int) -> Array:
        """Coefficients 0 ... N - 2 of f' or f'': by parts, b'_n = sqrt(n + 1) b_{n+1} / sd."""
        n = np.arange(len(self.b) - 1).reshape(-1, *(1,) * (self.b.ndim - 1))
        first, second = np.sqrt(n + 1.0) * self.inverse_sd, np.sqrt(n + 2.0) * self.inverse_sd
        raised: Array = first * self.b[:-1] if order == 1 else first * second * self.b[1:]
        raised[0] = np.where(self.inverse_sd > 0.0, raised[0], self.slopes[order - 1])
        return raised


def neurons_of(activation: Custom, mu: Array, var: Array, terms: int) -> Neurons:
    """Integrate f at every neuron, each on as many panels as it takes; nan where mu or var is nan or var < 0."""
    with np.errstate(all="ignore"):
        sd = np.sqrt(var)
        at_mu = evaluate(activation, mu)
        found = np.full((terms + 5, mu.size), np.nan)
        found[:, (var == 0.0) & ~np.isnan(at_mu)] = 0.0
        todo = np.flatnonzero(np.isfinite(mu) & np.isfinite(sd) & (sd > 0.0))
        before = None
        for panels in PANELS:
            now = _integrals(activation, mu[todo], sd[todo], at_mu[todo], terms, panels)
            if before is not None:
                settled = _agree(activation, at_mu[todo], before, now)
                found[:, todo[settled]] = now[:, settled]
                todo, now = todo[~settled], now[:, ~settled]
            if not todo.size:
                break
            before = now
        if todo.size:
            i = todo[0]
            raise ToleranceError(
                f"tol: {activation.tol:g} cannot be met at mu = {mu[i]:g}, var = {var[i]:g}: f is not smooth or "
                "not finite there, or not computed in float64; give `kinks`, or a larger tol"
            )
        shift, b, (one, two, size, beyond) = found[0], found[1:-4], found[-4:]
        if np.any(beyond > activation.tol):
            i = int(np.nanargmax(beyond))
            raise ToleranceError(
                f"tol: {activation.tol:g} cannot be met at mu = {mu[i]:g}, var = {var[i]:g}: f grows so fast that "
                f"{beyond[i]:.1g} of its mean square lies beyond {REACH:g} standard deviations"
            )
        inverse_sd = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0.0)
        slopes = np.full((2, mu.size), np.nan)
        spread = np.maximum(size**2 - shift**2, 0.0)
        return Neurons(at_mu, shift, b, one * size, two * size, spread, inverse_sd, slopes)


def evaluate(activation: Custom, x: Array) -> Array:
    value = np.asarray(activation.function(x.copy()), dtype=np.float64)
    if value.shape != x.shape:
        raise ValueError(f"function: expected one value per element, {x.shape}, got {value.shape}")
    return value


def _agree(activation: Custom, at_mu: Array, before: Array, now: Array) -> Array:
    """Whether halving the panels changed nothing, neuron by neuron, but what rounding of f does."""
    change = np.abs(now[:-2] - before[:-2]).max(axis=0)
    settled: Array = change <= 0.1 * activation.tol * now[-2] + ROUNDING * np.abs(at_mu)
    return settled


def _integrals(activation: Custom, mu: Array, sd: Array, at_mu: Array, terms: int, panels: int) -> Array:
    """(terms + 5, m) numbers of g = f(X) - f(mu), each of g's size.

    E g He_n / sqrt(n!), n = 0 ... terms; E g^2 He_n / sqrt(E g^2), n = 1, 2; sqrt(E g^2); and last, no size, about
    what share of E g^2 is beyond REACH.
    """
    found = np.empty((terms + 5, mu.size))
    step = max(1, CHUNK // (len(LEGENDRE_24) * (panels + len(activation.kinks))))
    for start in range(0, mu.size, step):
        part = slice(start, start + step)
        z, weight = _nodes(activation, mu[part], sd[part], panels)
        g = evaluate(activation, mu[part, None] + sd[part, None] * z) - at_mu[part, None]
        # about 1 at most, so that squares neither vanish nor overflow; by powers of 2, which change no bit
        power = np.frexp(np.abs(g).max(axis=1))[1]
        g = np.ldexp(g, -power[:, None])
        weighted = g * weight
        square = np.einsum("ij,ij->i", weighted, g)
        root = np.sqrt(square)
        for row, polynomial in ((-4, z), (-3, z * z - 1.0)):
            found[row, part] = np.einsum("ij,ij,ij->i", weighted, g, polynomial) / np.where(root > 0.0, root, 1.0)
        found[-2, part] = root
        ends = (g[:, 0] ** 2 + g[:, -1] ** 2) * np.exp(-0.5 * REACH**2) / np.sqrt(2.0 * np.pi)
        found[-1, part] = ends / np.where(square > 0.0, square, 1.0)
        last, this = np.zeros_like(z), np.ones_like(z)
        for n in range(terms + 1):
            found[n, part] = np.einsum("ij,ij->i", weighted, this)
            last, this = this, (z * this - np.sqrt(n) * last) / np.sqrt(n + 1.0)
        found[:-1, part] = np.ldexp(found[:-1, part], power)
    return found


def _nodes(activation: Custom, mu: Array, sd: Array, panels: int) -> tuple[Array, Array]:
    """Nodes and weights times phi on panels that end at the kinks, (m, nodes)."""
    ends = np.broadcast_to(np.linspace(-REACH, REACH, panels + 1), (mu.size, panels + 1))
    if activation.kinks:
        kinks = (np.array(activation.kinks) - mu[:, None]) / sd[:, None]
        ends = np.sort(np.concatenate([ends, np.clip(kinks, -REACH, REACH)], axis=1), axis=1)
    rule = np.array(LEGENDRE_24)
    length = np.diff(ends)[..., None]
    z = ends[:, :-1, None] + length * rule[:, 0]
    weight = length * rule[:, 1] * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return z.reshape(mu.size, -1), weight.reshape(mu.size, -1)
