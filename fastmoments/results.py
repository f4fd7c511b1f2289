"""What the public functions return."""

from typing import Any, NamedTuple


class Moments(NamedTuple):
    """Mean (..., n) and covariance (..., n, n) of a random vector; unpacks as two."""

    mean: Any
    cov: Any


class MomentsCross(NamedTuple):
    """Mean (..., m), covariance (..., m, m) and cross-covariance (..., n, m) with the input; unpacks as three."""

    mean: Any
    cov: Any
    cross: Any


class MomentsBound(NamedTuple):
    """Mean (..., n), covariance (..., n, n) and an error bound (batch,), or a number; unpacks as three."""

    mean: Any
    cov: Any
    bound: Any


class Marginals(NamedTuple):
    """Mean and variance of each element, in the broadcast shape of the inputs; unpacks as two."""

    mean: Any
    var: Any


class CovPartials(NamedTuple):
    """Derivatives of a pair's covariance along its five arguments, each in their broadcast shape."""

    d_mu_1: Any
    d_mu_2: Any
    d_var_1: Any
    d_var_2: Any
    d_cov_12: Any


class CdfPartials(NamedTuple):
    """Derivatives of the bivariate normal distribution function along its arguments."""

    d_h: Any
    d_k: Any
    d_rho: Any


class MomentsVjp(NamedTuple):
    """Gradients with respect to mu (..., n) and cov (..., n, n)."""

    mu_bar: Any
    cov_bar: Any
