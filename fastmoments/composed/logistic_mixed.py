"""Pairs whose series is long, of wide inputs with |rho| near 1: sums over the two functions' mixtures.

With sigmoid(x) = sum p Phi(s x), x sigmoid(x) = sum (p / s) g(s x), g(x) = x Phi(x), and softplus(x) =
sum p E relu(x + N / s), a covariance is a sum of those of probit, GELU or noisy relu. Their formulas hold at any
correlation.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.composed.logistic_mixture import mixture
from fastmoments.composed.logistic_neurons import Orders, Scaled, integrals
from fastmoments.composed.logistic_slopes import SIGMOID, SOFTPLUS
from fastmoments.composed.logistic_wide import of_catalogue

STEP = 0.125  # of the mixture: 29 terms, 2e-15
# The derivative that a covariance of derivatives is (Price): its place in `cov_partials`, and the factor
PLACES = {(1, 0): (0, 1.0), (0, 1): (1, 1.0), (2, 0): (2, 2.0), (0, 2): (3, 2.0), (1, 1): (4, 1.0)}


@lru_cache(maxsize=1)
def _rows() -> NDArray[Any]:
    """Return (share, scale_1, scale_2) of all pairs of terms."""
    scale, share = mixture(STEP)
    scales = np.stack(np.broadcast_arrays(scale[:, None], scale), axis=-1).reshape(-1, 2)
    return np.concatenate([(share[:, None] * share).reshape(-1, 1), scales], axis=1)


def mixed_cov(library: Any, one: Scaled, two: Scaled, orders: Orders, *pair: Any) -> tuple[Any, ...]:
    """Compute Cov(f^(k)(X_1), g^(n)(X_2)) for every (k, n) of the orders, a covariance or its first derivatives."""
    if one.kind != two.kind or not all(order == (0, 0) or order in PLACES for order in orders):
        if library.largest(pair[0]) is not None:
            raise NotImplementedError(_REFUSED)
        return tuple(np.nan + 0.0 * pair[4] for _ in orders)
    mu_1, mu_2, var_1, var_2, cov_12 = pair
    (mu_1, var_1), (mu_2, var_2) = one.of(mu_1, var_1), two.of(mu_2, var_2)
    scaled = mu_1, mu_2, var_1, var_2, one.rate * two.rate * cov_12
    sums = library.summed(partial(_terms, library, one.kind, orders, scaled), _rows(), cov_12)
    found = []
    for (k, n), total in zip(orders, sums, strict=True):
        if (k, n) == (1, 1):
            gains = [integrals(library, one.kind, ((1,),), scaled[i], scaled[i + 2])[0] for i in (0, 1)]
            total = total - gains[0] * gains[1]
        found.append(one.factor(k) * two.factor(n) * total)
    return tuple(found)


_REFUSED = (
    "activation: pairs of wide inputs with |rho| near 1, for which the Hermite series is too long, have first "
    "derivatives only, and none beside an activation of another kind; larger or smaller batches do not matter: "
    "narrow the inputs, or use float64"
)


def _terms(library: Any, kind: str, orders: Orders, pair: tuple[Any, ...], *columns: Any) -> tuple[Any, ...]:
    """Compute the terms of rows (r, 1 ...) of the mixtures' pairs."""
    mu_1, mu_2, var_1, var_2, cov_12 = pair
    weight, s_1, s_2 = columns
    if kind == SOFTPLUS:
        function = "relu"
        inputs = (mu_1, mu_2, var_1 + s_1**-2, var_2 + s_2**-2, cov_12)
        chain: tuple[Any, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    else:
        function = "probit" if kind == SIGMOID else "gelu"
        weight = weight if kind == SIGMOID else weight / (s_1 * s_2)
        inputs = (s_1 * mu_1, s_2 * mu_2, s_1**2 * var_1, s_2**2 * var_2, s_1 * s_2 * cov_12)
        chain = (s_1, s_2, s_1**2, s_2**2, s_1 * s_2)
    partials = () if orders == ((0, 0),) else of_catalogue(library, function, "cov_partials", *inputs)
    found = []
    for order in orders:
        if order == (0, 0):
            found.append(weight * of_catalogue(library, function, "cov", *inputs))
        else:
            place, factor = PLACES[order]
            found.append(factor * weight * chain[place] * partials[place])
    return tuple(found)
