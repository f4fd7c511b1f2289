"""Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!) of any function, by quadrature to a tolerance."""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.custom.activation import Custom, ToleranceError
from fastmoments_kernels.custom.evaluation import ROUNDING, check_elementwise, evaluate
from fastmoments_kernels.custom.slopes import slopes_of
from fastmoments_kernels.tables import LEGENDRE_24

Array = np.ndarray[Any, Any]

REACH = 13.0  # He_n(z) phi(z) / sqrt(n!) < exp(-z^2/4), 4e-19 at 13: room for an f that grows
FAR = 37.0  # exp(-z^2/2) is a normal number up to here
# Panels end here, and at kinks: common activations bend near 0 at a scale of one, and flatten from there
BENDS = tuple(sign * 2.0 * 4.0**k for k in range(13) for sign in (-1.0, 1.0))
HALVINGS = range(9)  # of all panels, tried in turn until two results agree
# A standard deviation below this share of the length on which f is smooth is narrow: the share's square is below
# any tolerance, while f's rounding is not small beside the share
NARROW = 3e-6
CHUNK = 1 << 21  # function values at a time


class Neurons(NamedTuple):
    """f(mu), and integrals of g = f(X) - f(mu), for m neurons: E g, b_1 ... b_N, E g^2 He_1, E g^2 He_2, Var f.

    inverse_sd is 1 / sd, 0 at variance 0. slopes (3, m) are f', f'' and f''' at mu for neurons without variance if
    `differentiable` made them, else nan.
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
        """T / Var f, the share of the variance that the coefficients leave out; 0 where Var f is f's rounding."""
        alive = self.var > (ROUNDING * self.at_mu) ** 2
        remainder = np.where(alive, self.var - np.sum(self.b**2, axis=0), 0.0)
        return np.maximum(remainder, 0.0) / np.where(alive, self.var, 1.0)

    def raised(self, order: int) -> Array:
        """Coefficients 0 ... N - order of f', f'' or f''': by parts, b'_n = sqrt(n + 1) b_{n+1} / sd."""
        n = np.arange(len(self.b) - order + 1).reshape(-1, *(1,) * (self.b.ndim - 1))
        raised: Array = self.b[order - 1 :]
        for k in range(1, order + 1):
            raised = np.sqrt(n + k) * self.inverse_sd * raised
        raised[0] = np.where(self.inverse_sd > 0.0, raised[0], self.slopes[order - 1])
        return raised


def neurons_of(activation: Custom, mu: Array, var: Array, terms: int) -> Neurons:
    """Integrate f at every neuron, each as far out and on as many panels as it needs.

    Results are nan where mu or var is nan or var < 0.
    """
    with np.errstate(all="ignore"):
        sd = np.sqrt(var)
        check_elementwise(activation, mu, sd)
        at_mu = evaluate(activation, mu)
        results = np.full((terms + 5, mu.size), np.nan)
        results[:, (var == 0.0) & ~np.isnan(at_mu)] = 0.0
        wide = ~_narrow(activation, mu, sd, at_mu, results)
        todo = np.flatnonzero(wide & np.isfinite(mu) & np.isfinite(sd) & (sd > 0.0))
        results[:, todo] = _integrated(activation, mu[todo], sd[todo], at_mu[todo], terms, REACH)
        if np.isnan(results[0, todo]).any():
            i = todo[np.isnan(results[0, todo])][0]
            raise ToleranceError(
                f"tol: {activation.tol:g} cannot be met at mu = {mu[i]:g}, var = {var[i]:g}: f is not smooth or "
                "not finite there, or not computed in float64; give `kinks`, or a larger tol"
            )
        _look_farther(activation, mu, sd, at_mu, results, todo)
        shift, b, (one, two, size, beyond) = results[0], results[1:-4], results[-4:]
        if np.any(beyond > activation.tol):
            i = int(np.nanargmax(beyond))
            raise ToleranceError(
                f"tol: {activation.tol:g} cannot be met at mu = {mu[i]:g}, var = {var[i]:g}: f grows so fast that "
                f"{beyond[i]:.1g} of its mean square lies beyond {REACH:g} standard deviations"
            )
        inverse_sd = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0.0)
        slopes = np.full((3, mu.size), np.nan)
        spread = np.maximum(size**2 - shift**2, 0.0)
        return Neurons(at_mu, shift, b, one * size, two * size, spread, inverse_sd, slopes)


def differentiable(activation: Custom, mu: Array, var: Array, terms: int) -> Neurons:
    """`neurons_of`, with slopes for neurons without variance."""
    neurons = neurons_of(activation, mu, var, terms)
    constant = (var == 0.0) & np.isfinite(mu)
    if constant.any():
        neurons.slopes[:, constant], _ = slopes_of(activation, mu[constant], neurons.at_mu[constant])
    return neurons


def _narrow(activation: Custom, mu: Array, sd: Array, at_mu: Array, results: Array) -> Array:
    """Fill in and mark the neurons on which f is a parabola; integrals of g would be those of f's rounding."""
    narrow = np.isfinite(mu) & (sd > 0.0) & (sd <= NARROW * np.maximum(1.0, np.abs(mu)))
    if narrow.any():
        (first, second, third), smooth = slopes_of(activation, mu[narrow], at_mu[narrow])
        narrow[narrow] = fits = sd[narrow] <= NARROW * smooth
        linear, bent = first[fits] * sd[narrow], 0.5 * second[fits] * sd[narrow] ** 2  # g = linear Z + bent Z^2
        size = np.hypot(linear, np.sqrt(3.0) * bent)
        share = np.divide(bent, size, out=np.zeros_like(size), where=size > 0.0)
        results[:, narrow] = 0.0
        # where f''' is not settled it is 0, within the tolerance beside f' / var
        cubic = np.nan_to_num(third[fits]) * sd[narrow] ** 3 / np.sqrt(6.0)
        results[:4, narrow] = bent, linear, np.sqrt(2.0) * bent, cubic
        results[-4:-1, narrow] = 6.0 * linear * share, 2.0 * size + 6.0 * bent * share, size
    return narrow


def _look_farther(activation: Custom, mu: Array, sd: Array, at_mu: Array, results: Array, todo: Array) -> None:
    """Integrate to FAR where f hardly changes up to REACH or grows beyond it; keep results that settle there."""
    size, beyond = results[-2:, todo]
    far = todo[(beyond > activation.tol) | ((size == 0.0) & bool(activation.kinks))]
    farther = _integrated(activation, mu[far], sd[far], at_mu[far], len(results) - 5, FAR)
    reached = farther[-1] <= activation.tol
    results[:, far[reached]] = farther[:, reached]


def _agree(activation: Custom, at_mu: Array, before: Array, now: Array) -> Array:
    """Whether halving the panels changed a neuron by no more than the tolerance and f's rounding."""
    change = np.abs(now[:-2] - before[:-2]).max(axis=0)
    settled: Array = change <= 0.1 * activation.tol * now[-2] + ROUNDING * np.abs(at_mu)
    return settled


def _integrated(activation: Custom, mu: Array, sd: Array, at_mu: Array, terms: int, reach: float) -> Array:
    """`_integrals` with the first number of halvings that agrees with the one before; nan where none does."""
    results = np.full((terms + 5, mu.size), np.nan)
    todo, before = np.arange(mu.size), None
    for halvings in HALVINGS:
        if not todo.size:
            break
        now = _integrals(activation, mu[todo], sd[todo], at_mu[todo], terms, halvings, reach)
        if before is not None:
            settled = _agree(activation, at_mu[todo], before, now)
            results[:, todo[settled]] = now[:, settled]
            todo, now = todo[~settled], now[:, ~settled]
        before = now
    return results


def _integrals(
    activation: Custom, mu: Array, sd: Array, at_mu: Array, terms: int, halvings: int, reach: float
) -> Array:
    """(terms + 5, m) integrals of g = f(X) - f(mu), all but the last in units of g.

    E g He_n / sqrt(n!), n = 0 ... terms; E g^2 He_n / sqrt(E g^2), n = 1, 2; sqrt(E g^2); and an estimate of the
    share of E g^2 beyond the reach.
    """
    results = np.empty((terms + 5, mu.size))
    most = len(LEGENDRE_24) * (4 + len(activation.kinks) + len(BENDS)) << halvings
    step = max(1, CHUNK // most)
    for start in range(0, mu.size, step):
        part = slice(start, start + step)
        z, weight = _nodes(activation, mu[part], sd[part], halvings, reach)
        g = evaluate(activation, mu[part, None] + sd[part, None] * z) - at_mu[part, None]
        # about 1 at most, so that squares neither vanish nor overflow; by powers of 2, which change no bit
        power = np.frexp(np.abs(g).max(axis=1))[1]
        g = np.ldexp(g, -power[:, None])
        weighted = g * weight
        square = np.einsum("ij,ij->i", weighted, g)
        root = np.sqrt(square)
        for row, polynomial in ((-4, z), (-3, z * z - 1.0)):
            moment = np.einsum("ij,ij,ij->i", weighted, g, polynomial)
            results[row, part] = moment / np.where(root > 0.0, root, 1.0)
        results[-2, part] = root
        ends = (g[:, 0] ** 2 + g[:, -1] ** 2) * np.exp(-0.5 * reach**2) / np.sqrt(2.0 * np.pi)
        results[-1, part] = ends / np.where(square > 0.0, square, 1.0)
        last, this = np.zeros_like(z), np.ones_like(z)
        for n in range(terms + 1):
            results[n, part] = np.einsum("ij,ij->i", weighted, this)
            last, this = this, (z * this - np.sqrt(n) * last) / np.sqrt(n + 1.0)
        results[:-1, part] = np.ldexp(results[:-1, part], power)
    return results


def _nodes(activation: Custom, mu: Array, sd: Array, halvings: int, reach: float) -> tuple[Array, Array]:
    """Nodes, and weights times phi, (m, nodes) each, on panels that end at kinks and bends."""
    bends = np.array(BENDS)
    bends = bends[(np.abs(bends - mu[:, None]) < reach * sd[:, None]).any(axis=0)]
    inner = (np.concatenate([activation.kinks, bends]) - mu[:, None]) / sd[:, None]
    regular = np.broadcast_to(np.linspace(-reach, reach, 5), (mu.size, 5))
    ends = np.sort(np.concatenate([regular, np.clip(inner, -reach, reach)], axis=1), axis=1)
    parts = 1 << halvings
    length = np.diff(ends)[..., None] / parts
    first = (ends[:, :-1, None] + length * np.arange(parts)).reshape(mu.size, -1, 1)
    length = np.broadcast_to(length, (*length.shape[:2], parts)).reshape(mu.size, -1, 1)
    rule = np.array(LEGENDRE_24)
    z = first + length * rule[:, 0]
    weight = length * rule[:, 1] * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return z.reshape(mu.size, -1), weight.reshape(mu.size, -1)
