"""RMSNorm and LayerNorm of a Gaussian group; GroupNorm and InstanceNorm are the same functions of other groups.

Y = X / sqrt Q, Q = |X|^2 / n + eps, of X less its own mean for LayerNorm. Exact: see docs/mathematics/layers.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.joint.groups import GroupMoments
from fastmoments.joint.laplace import log_gap, nodes, quadrature_error, weights

Array = Any  # of the library whose words are given
Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class Norm:
    """x / sqrt(mean(x^2) + eps) of a group x; `centred` takes the group's mean from x first.

    Weights and biases behind it are an affine map.
    """

    eps: float
    centred: bool

    exact: ClassVar[bool] = True
    closure: ClassVar[str] = ""
    curved: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.eps >= 0.0:
            raise ValueError(f"eps: expected a number >= 0, got {self.eps}")

    @property
    def name(self) -> str:
        """The kind."""
        return "layer norm" if self.centred else "rms norm"

    def moments(self, words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
        """Compute the moments for mu (..., n) and cov (..., n, n), in the eigenbasis of cov.

        Errors in float64: of mean and slope 1e-15 of the largest, of covariances 1e-14 of sqrt(K_ii K_jj); in
        float32 3 and 7 eps for 64 features, 36 for 256. The basis adds eps sqrt(max var / var_i). A feature that
        carries nearly all of Q has a variance that Q takes away: its error is over that of X_i / sqrt E Q.

        With eps = 0 and a singular cov, where X may be 0, E Df(X) and derivatives along cov have no limit in
        directions without variance. They are finite there and of no meaning; slope @ cov is right.

        Derivatives are exact; second ones along cov twice are refused.
        """
        xp, n, eps = words.xp, mu.shape[-1], float(words.xp.finfo(mu.dtype).eps)
        if self.centred:
            mu, rows = _centred(mu), cov.mean(-1)
            cov = cov - (rows[..., :, None] + rows[..., None, :] - rows.mean(-1)[..., None, None])
        unit = _unit(words, mu, xp.einsum("...ii->...i", cov), self.eps)
        basis = _basis(words, cov * unit[..., None] * unit[..., None], self.centred)
        m = ((mu * unit)[..., None, :] @ basis.vectors)[..., 0, :]
        found = _moments(words, m, basis.values, basis.rest, n * self.eps * unit * unit)
        mean = (basis.vectors @ found.mean[..., None])[..., 0]
        turned = n * (basis.vectors @ found.cov @ basis.vectors.mT)
        slope = n**0.5 * unit[..., None] * (basis.vectors @ found.slope @ basis.vectors.mT)
        rounding = (64 * n * eps + quadrature_error(eps)) * n * words.detached(basis.values.sum(-1))
        # nan where a constant group has no direction: one centred element would be 0, for any eps
        undefined = 0.0 * unit
        cov = words.covariance(turned + undefined[..., None], lambda: rounding)
        return GroupMoments(n**0.5 * mean + undefined, cov, slope)

    def marginals(self, words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
        """Compute mean and variance, (..., n), for independent elements of mean mu and variance var, (..., n).

        They are those of `moments`, with nothing of n^2.
        """
        n, mu = mu.shape[-1], _centred(mu) if self.centred else mu
        unit = _unit(words, mu, _of_centred(var) if self.centred else var, self.eps)
        mean, found = _marginals(words, mu * unit, var * unit * unit, n * self.eps * unit * unit, self.centred)
        return n**0.5 * mean, n * found


class _Basis(NamedTuple):
    """cov = vectors (diag(values) + rest) vectors^T; `vectors` have no derivatives, `rest` is 0 and has some."""

    vectors: Array
    values: Array
    rest: Array


def _basis(words: Words[Any], cov: Array, centred: bool) -> _Basis:
    """Diagonalise cov (..., n, n); if it is centred, in the n - 1 directions whose elements sum to 0.

    The derivative of the eigenvectors is infinite for equal eigenvalues, which the moments do not notice. So the
    basis stays as it is and the matrix in it moves, on and off its diagonal.
    """
    xp, fixed = words.xp, words.detached(cov)
    n, eye = cov.shape[-1], words.eye(cov.shape[-1], cov)
    finite = xp.isfinite(fixed.sum(-1).sum(-1))[..., None, None]
    fixed = xp.where(finite, fixed, eye)
    if centred:
        # the direction (1, ..., 1) / sqrt n becomes that of the largest eigenvalue, which no other has
        largest = xp.amax(xp.abs(fixed).sum(-1), -1)[..., None, None]
        fixed = fixed + xp.where(largest > 0.0, 2.0 * largest, 1.0) / n
    vectors = xp.linalg.eigh(fixed)[1]
    vectors = vectors[..., :, :-1] if centred else vectors
    turned = vectors.mT @ cov @ vectors
    values = xp.einsum("...ii->...i", turned)
    held = words.detached(values)
    # what rounding makes of an eigenvalue 0, in the sizes of its own features
    sd = root(xp, xp.einsum("...ii->...i", words.detached(cov)))
    noise = (sd[..., None, :] @ xp.abs(vectors))[..., 0, :]
    noise = 8 * float(xp.finfo(cov.dtype).eps) * noise * noise
    kept = xp.where(held > noise, held, 0.0 * held)
    rest = (turned - words.detached(turned)) * (1.0 - words.eye(vectors.shape[-1], cov))
    return _Basis(vectors, kept + (values - held), _once(words, rest))


def _once(words: Words[Any], rest: Array) -> Array:
    """Return the array, whose second derivatives raise an error: formulas are of first order in it."""

    def slope(x: Array) -> tuple[Array]:
        return (words.with_partials(lambda y: 0.0 * y + 1.0, _refused, (x,)),)

    return words.with_partials(lambda x: 1.0 * x, slope, (rest,))


def _refused(x: Array) -> tuple[Array]:
    raise NotImplementedError("cov: the moments of a norm have no second derivatives along a covariance")


def _unit(words: Words[Any], mu: Array, var: Array, eps: float) -> Array:
    """Return the factor (..., 1) that makes E |X|^2 + n eps one, the scale of X and sqrt(eps)."""
    xp, mu, var = words.xp, words.detached(mu), words.detached(var)
    peak = xp.amax(xp.abs(mu) + root(xp, var), -1)[..., None] + math.sqrt(eps)
    peak = xp.where(xp.isfinite(peak), peak, math.nan)
    peak = xp.where(peak > 0.0, peak, 1.0 + 0.0 * peak)
    mu, var = mu / peak, var / peak / peak
    q = (mu * mu + var).sum(-1)[..., None] + mu.shape[-1] * eps / peak / peak
    return 1.0 / xp.sqrt(xp.where(q > 0.0, q, math.nan)) / peak  # a constant group and eps = 0: 0 / 0


def _centred(x: Array) -> Array:
    """Return x (..., n) less its mean."""
    return x - x.mean(-1)[..., None]


def _of_centred(var: Array) -> Array:
    """Return the diagonal of P diag(var) P, P = I - 1 1^T / n."""
    n = var.shape[-1]
    return var * (1.0 - 2.0 / n) + var.mean(-1)[..., None] / n


def _over(weight: Array, values: Array) -> Array:
    """Sum values (..., T, n) with weights (..., T)."""
    return (weight[..., None, :] @ values)[..., 0, :]


def _marginals(words: Words[Any], mu: Array, var: Array, eps: Array, centred: bool) -> tuple[Array, Array]:
    """Mean and variance of X / sqrt(|X|^2 + eps), X independent; `centred` takes the mean of X first."""
    xp, log_weight = words.xp, _log_centred_weight if centred else _log_weight
    at = nodes(words, log_weight, mu, var, eps)
    tilted = _tilted_centred(xp, at.t, mu, var) if centred else _tilted(xp, at.t, mu, var)
    spread = _of_centred(var) if centred else var
    q = eps + (mu * mu + spread).sum(-1)[..., None]
    by = weights(xp, at, q, log_weight(xp, at.t, mu, var, eps), tilted.gap)
    x, lost = tilted.mean, tilted.mean_1
    shift = _over(by.over, x) + _over(by.base, lost)
    mixed = _over(by.over, tilted.var) + _over(by.base, tilted.var_1) + _over(by.full, x * lost)
    remain = tilted.var_2 + lost * lost + 2.0 * mu[..., None, :] * tilted.mean_2
    square = _over(by.over_2, tilted.var + x * x) + _over(by.base_2, remain)
    found = by.a * by.a * spread + 2.0 * by.a * mixed + square - shift * shift
    return by.a * mu + shift, xp.where(found > 0.0, found, 0.0 * found * found)


def _log_weight(xp: Any, t: Array, mu: Array, var: Array, eps: Array) -> Array:
    """Log of E exp(-t Q), Q = |X|^2 + eps, of independent X, (..., T)."""
    g = 2.0 * t[:, None]
    z, mu = g * var[..., None, :], mu[..., None, :]
    return -t * eps - 0.5 * (xp.log1p(z) + g * mu * mu / (1.0 + z)).sum(-1)


def _log_centred_weight(xp: Any, t: Array, mu: Array, var: Array, eps: Array) -> Array:
    """The same for X less its mean."""
    g = 2.0 * t[:, None]
    z, mu = g * var[..., None, :], mu[..., None, :]
    r = 1.0 / (1.0 + z)
    kappa = r.mean(-1)
    middle = ((r * mu).mean(-1) / kappa)[..., None]
    quadratic = g * r * (mu - middle) ** 2
    return -t * eps - 0.5 * (xp.log1p(z) + quadratic).sum(-1) - 0.5 * xp.log(kappa)


class _Tilted(NamedTuple):
    """Mean and variance of X under the weight exp(-t Q), (..., T, n), and what they lose, without cancellation.

    `mean_1` is mean - mu and `mean_2` that less its term of first order in t; `var_1` and `var_2` are the same of
    var. `gap` (..., T) is log E exp(-t Q) + t E Q.
    """

    mean: Array
    mean_1: Array
    mean_2: Array
    var: Array
    var_1: Array
    var_2: Array
    gap: Array


def _tilted(xp: Any, t: Array, mu: Array, var: Array) -> _Tilted:
    """Tilt independent X."""
    g = 2.0 * t[:, None]
    mu, var = mu[..., None, :], var[..., None, :]
    z = g * var
    r = 1.0 / (1.0 + z)
    zr = z * r
    gap = 0.5 * (log_gap(xp, z, xp.log1p(z)) + g * zr * mu * mu).sum(-1)
    return _Tilted(r * mu, -zr * mu, z * zr * mu, r * var, -zr * var, z * zr * var, gap)


def _tilted_centred(xp: Any, t: Array, mu: Array, var: Array) -> _Tilted:
    """Tilt X less its mean, for independent X whose means sum to 0; by Sherman and Morrison's formula."""
    n = mu.shape[-1]
    g = 2.0 * t[:, None]
    mu, var = mu[..., None, :], var[..., None, :]
    z = g * var
    r = 1.0 / (1.0 + z)
    zr, s = z * r, r * var
    kappa, lost = r.mean(-1)[..., None], zr.mean(-1)[..., None]
    middle = (r * mu).mean(-1)[..., None] / kappa
    mean, mean_1 = _centred(r * (mu - middle)), -_centred(zr * (mu - middle))
    mean_2 = _centred(z * zr * mu + g * s * middle)
    among, all_, gone = _centred(s), _centred(var), _centred(zr * var)
    share = g / (n * kappa)
    var_ = _of_centred(s) + share * among * among
    var_1 = _of_centred(-zr * var) + share * among * among
    var_2 = _of_centred(z * zr * var) + share * (lost * all_ * all_ - gone * (among + all_))
    # 1 - lost is kappa
    joint = log_gap(xp, -lost, xp.log(kappa))[..., 0] - (z * zr).mean(-1)
    gap = 0.5 * (log_gap(xp, z, xp.log1p(z)) + g * zr * mu * mu).sum(-1) + 0.5 * joint
    gap = gap + (0.5 * n * g * kappa * middle * middle)[..., 0]
    return _Tilted(mean, mean_1, mean_2, var_, var_1, var_2, gap)


def _moments(words: Words[Any], m: Array, lam: Array, rest: Array, eps: Array) -> GroupMoments:
    """Moments of X / sqrt Q for mean m (..., n), covariance diag(lam) + rest; of first order in rest, which is 0.

    With W = Q^(-1/2) - a and B = E D(W X), Y = a X + W X has the covariance
    a^2 C + a (B C + C B^T) + E W^2 X X^T - E W X (E W X)^T, where nothing large is subtracted.
    """
    xp = words.xp
    at = nodes(words, _log_weight, words.detached(m), words.detached(lam), eps)
    g = 2.0 * at.t[:, None]
    z = g * lam[..., None, :]
    r = 1.0 / (1.0 + z)
    zr, rm = z * r, r * m[..., None, :]
    pulled = rm @ rest
    bent = g * r * pulled
    x = rm - bent  # the mean of X under the weight: (1 + g (diag(lam) + rest))^-1 m
    added = 0.5 * (g * g * rm * pulled).sum(-1)
    gap = 0.5 * (log_gap(xp, z, xp.log1p(z)) + g * zr * (m * m)[..., None, :]).sum(-1) + added
    q = eps + (m * m + lam).sum(-1)[..., None]
    by = weights(xp, at, q, _log_weight(xp, at.t, m, lam, eps) + added, gap)

    own = _over(by.over, r) - _over(by.base, zr)
    turns = by.full[..., None] * g
    bend = _diagonal(words, own) - (turns * x).mT @ x - rest * ((turns * r).mT @ r)
    shift = own * m - _over(by.full, bent)
    product = bend * lam[..., None, :] + own[..., :, None] * rest - (turns * rm).mT @ pulled  # B C
    product = by.a[..., None] * product
    linear = by.a[..., None] ** 2 * (_diagonal(words, lam) + rest)
    square = _square(words, (m, lam, rest), (z, r, rm, bent), (by.full_2, by.over_2, by.base_2))
    cov = linear + product + product.mT + square - shift[..., :, None] * shift[..., None, :]
    return GroupMoments(by.a * m + shift, cov, _diagonal(words, by.a + 0.0 * m) + bend)


def _square(words: Words[Any], inputs: Arrays, tilted: Arrays, by: Arrays) -> Array:
    """E W^2 X X^T, W = Q^(-1/2) - a."""
    (m, lam, rest), (z, r, rm, bent) = inputs, tilted
    full, over, base = (weight[..., None] for weight in by)
    zr = z * r
    half = (base * z * zr).mT @ (r + zr)
    both = half + half.mT + (over * r).mT @ r + (base * zr).mT @ zr
    side = (full * bent).mT @ rm
    own = (over * r + base * z * zr).sum(-2) * lam
    return (m[..., :, None] * m[..., None, :] + rest) * both - (side + side.mT) + _diagonal(words, own)


def _diagonal(words: Words[Any], x: Array) -> Array:
    """Return diag(x) (..., n, n)."""
    return x[..., :, None] * words.eye(x.shape[-1], x)
