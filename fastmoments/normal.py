"""The bivariate normal distribution function, its logarithm and their derivatives."""

from __future__ import annotations

from typing import Any

from fastmoments.dispatch import plan_of
from fastmoments.frameworks import framework_of
from fastmoments.frameworks.options import of_ufunc
from fastmoments.hints import explained
from fastmoments.results import CdfPartials, T
from fastmoments.signatures import Operand


@explained
def bivariate_normal_cdf(
    h: Operand[T],
    k: Operand[T],
    rho: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> T:
    """P(X <= h, Y <= k) for standard normal X and Y of correlation rho, element by element.

    Parameters
    ----------
    h, k : arrays that broadcast; +-inf is allowed.
    rho : array, the correlation; the result is nan where |rho| > 1.
    out, where, dtype : as for NumPy's ufuncs, with NumPy arrays only.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    array
        In the broadcast shape, in the inputs' library and dtype; nan where an input is nan.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that do not broadcast.

    Notes
    -----
    |error| <= 8 eps (1 + cond) P down to the smallest normal number, where cond is the condition number. P is
    Plackett's integral over the correlation r, in sqrt((1 - r) / (1 + r)), from 0, or from -1 where its terms would
    cancel.
    """
    result: T = _call("bivariate_normal_cdf", h, k, rho, out, where, dtype, precision)
    return result


@explained
def log_bivariate_normal_cdf(
    h: Operand[T],
    k: Operand[T],
    rho: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> T:
    """Logarithm of `bivariate_normal_cdf`, finite where the probability underflows.

    Parameters, results and errors are those of `bivariate_normal_cdf`. For P > 1/2 it is computed from 1 - P, so
    that it keeps its digits as P -> 1. Autograd and JAX take its derivatives from
    `log_bivariate_normal_cdf_partials`. Second derivatives are computed from the first and lose h^2 eps in tails.
    """
    result: T = _call("log_bivariate_normal_cdf", h, k, rho, out, where, dtype, precision)
    return result


@explained
def bivariate_normal_cdf_partials(
    h: Operand[T],
    k: Operand[T],
    rho: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> CdfPartials[T]:
    """Derivatives of `bivariate_normal_cdf` along h, k and rho.

    Parameters and errors are those of `bivariate_normal_cdf`. The result is three arrays, and so is `out`:
    d_h = phi(h) Phi((k - rho h) / sqrt(1 - rho^2)), d_k with h and k exchanged, and d_rho, the bivariate density
    (Plackett 1954). An infinite d_rho, at |rho| = 1, is returned as 0.
    """
    return CdfPartials(*_call("bivariate_normal_cdf_partials", h, k, rho, out, where, dtype, precision))


@explained
def log_bivariate_normal_cdf_partials(
    h: Operand[T],
    k: Operand[T],
    rho: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> CdfPartials[T]:
    """Derivatives of `log_bivariate_normal_cdf` along h, k and rho: those of P over P, also where both underflow.

    Parameters and errors are those of `bivariate_normal_cdf`. The result is three arrays, and so is `out`; they are
    as accurate as the function. They are nan where P is 0: for h or k = -inf, and at rho = -1 for h + k <= 0. An
    infinite d_rho, at |rho| = 1, is returned as 0.
    """
    return CdfPartials(*_call("log_bivariate_normal_cdf_partials", h, k, rho, out, where, dtype, precision))


def _call(name: str, h: Any, k: Any, rho: Any, out: Any, where: Any, dtype: Any, precision: str | None) -> Any:
    arguments = {"h": h, "k": k, "rho": rho}
    plan = plan_of(arguments, precision)
    return framework_of(plan).elementwise(plan, None, name, arguments, of_ufunc(out, where, dtype))
