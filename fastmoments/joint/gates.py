"""Gates X * g(Y), as in gated linear units: exact for Gaussian values, for any activation g."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmoments.elementwise import cov_partials, curvature, gain, marginals
from fastmoments.frameworks import Words
from fastmoments.frameworks.products import finite, within_sds
from fastmoments.joint.values import Array, Bend, Covs, ValueMoments
from fastmoments.moments import moments
from fastmoments.parameters import name_of, of_neurons, paired


@dataclass(frozen=True, eq=False)
class Gate:
    """X_i g(Y_k), k = at[i], by Stein's lemma twice.

    With a = E X, p = Cov(X_i, Y_i), m, g and k the means of g, g' and g'', K, K10, K20 = Cov(g, g), Cov(g', g),
    Cov(g'', g), K11 = E g' g', S = Cov(X_i, X_j), u = Cov(X_i, Y_j) and w = Cov(Y_i, X_j):

        mean = a m + p g,    E Df = [diag m, diag(a g + p k)]
        cov  = a_i a_j K + S (K + m_i m_j) + p_i p_j (K11 - g_i g_j) + u w K11 + H + H^T
        H    = (p_i a_j + a_i w) K10 + p_i w (K20 + k_i m_j) + a_i w g_i m_j

    An element of Y that gates many of X is computed once. Where both elements have one gate and that is a step, K11
    is infinite; there cov = S m + a_i a_j m + (a_i p_j + a_j p_i) g - p_i p_j g E Y / Var Y less both means.
    """

    activation: Any
    at: Any  # integers (n,)
    closure = ""

    @property
    def name(self) -> str:
        """The kind."""
        return f"gate of {name_of(self.activation)}"

    def moments(self, words: Words[Any], means: Sequence[Array], cov: Covs) -> ValueMoments:
        """Compute the moments."""
        xp, (a, b), yy = words.xp, means, cov(1, 1)
        var = xp.einsum("bii->bi", yy)
        m, k_00 = moments(self.activation, b, yy)
        g, k = self._slopes(xp, b, var)
        # an element without variance is independent of all others, and on a kink its partials are infinite
        varies = var > 0.0
        both = varies[:, :, None] & varies[:, None]
        some = xp.where(varies, var, 1.0 + 0.0 * var)
        possible = within_sds(xp, xp.where(both, yy, 0.0 * yy), some, some, 0.0 * var.sum(-1))
        partials = cov_partials(
            paired(self.activation), b[:, :, None], b[:, None], some[:, :, None], some[:, None], possible
        )
        k_11 = xp.where(both, partials.d_cov_12, g[:, :, None] * g[:, None])
        k_10, k_20, k_11 = (self._pairs(x) for x in (partials.d_mu_1, 2.0 * partials.d_var_1, k_11))
        k_00 = self._pairs(k_00)
        m, g, k = (self._spread(x) for x in (m, g, k))
        u = self._spread(cov(0, 1))
        p, w = xp.einsum("bii->bi", u), u.mT

        def rows(x: Array) -> Array:
            return x[:, :, None]

        own = rows(a) * a[:, None] * k_00 + cov(0, 0) * (k_00 + rows(m) * m[:, None])
        own = own + rows(p) * p[:, None] * (k_11 - rows(g) * g[:, None]) + u * w * k_11
        half = (rows(p) * a[:, None] + rows(a) * w) * k_10
        half = half + w * (rows(p) * (k_20 + rows(k) * m[:, None]) + rows(a * g) * m[:, None])
        along_y = a * g + p * k
        full = own + half + half.mT
        if of_neurons(self.activation)[0] == "heaviside":
            ratio = self._spread(xp.where(var > 0.0, b / xp.where(var > 0.0, var, 1.0 + var), 0.0 * var))
            shared = cov(0, 0) * m[:, None] + rows(a) * (a * m + p * g)[:, None] + rows(p * g) * a[:, None]
            shared = shared - rows(p * g * ratio) * p[:, None] - rows(a * m + p * g) * (a * m + p * g)[:, None]
            full = xp.where(self._shared(words, a) & self._pairs(both), shared, full)
        slopes = (lambda given: given * m[:, None], lambda given: self._spread(given) * along_y[:, None])
        # but for p times the mean of g''', of which nothing is asked elsewhere
        bends = Bend(g, 0, 1, at_two=self.at), Bend(0.5 * a * k, 1, 1, self.at, self.at)
        return ValueMoments(a * m + p * g, full, slopes, bends)

    def marginals(
        self, words: Words[Any], means: Sequence[Array], variances: Sequence[Array]
    ) -> tuple[Array, Array]:
        """Compute mean and variance where X_i and Y_i are independent."""
        (a, b), (var_x, var_y) = means, variances
        m, var = (self._spread(x) for x in marginals(self.activation, b, var_y))
        return a * m, a * a * var + var_x * (var + m * m)

    def _slopes(self, xp: Any, mu: Array, var: Array) -> tuple[Array, Array]:
        """E g' and E g'', on a kink without variance those of some, for they are multiplied by covariances of 0."""
        on_kink = ~(var > 0.0) & xp.isinf(curvature(self.activation, mu, var))
        some = xp.where(on_kink, 1.0 + 0.0 * var, var)
        return finite(xp, gain(self.activation, mu, some)), finite(xp, curvature(self.activation, mu, some))

    def _spread(self, x: Array) -> Array:
        """Elements along the last axis for every element of X."""
        return x if self._is_whole(x.shape[-1]) else x[..., self.at]

    def _pairs(self, x: Array) -> Array:
        """Rows and columns (batch, ., .) for every pair of elements of X."""
        return x if self._is_whole(x.shape[-1]) else x[:, self.at][..., self.at]

    def _shared(self, words: Words[Any], like: Array) -> Array:
        """Whether two elements of X have the same gate."""
        at = np.asarray(self.at)
        return words.eye(int(at.max()) + 1, like)[at][:, at] > 0.0

    def _is_whole(self, n: int) -> bool:
        return n == len(self.at) and bool((np.asarray(self.at) == np.arange(n)).all())
