"""Dual activations: means of products for Gaussian pairs without mean, which make the kernels of wide networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmoments.composed.base import Composed
from fastmoments.dispatch import Named, plan_of
from fastmoments.elementwise import cov, cov_partials, mean
from fastmoments.frameworks import Framework, framework_of
from fastmoments.hints import explained
from fastmoments.parameters import jumps_of, of_pairs
from fastmoments.pieces import Side, pair_of
from fastmoments.results import Dual, T
from fastmoments.signatures import Operand
from fastmoments_kernels.custom import Custom


@explained
def dual(
    activation: Any,
    var_1: Operand[T],
    var_2: Operand[T],
    cov_12: Operand[T],
    *,
    precision: str | None = None,
) -> Dual[T]:
    """E f(X_1) f(X_2) and E f'(X_1) f'(X_2) for a Gaussian pair of mean 0, element by element.

    In a wide random network X_1 and X_2 are a neuron's inputs for two inputs of the network. The kernel of its
    Gaussian process (NNGP) is made of `value` layer by layer, and the neural tangent kernel (NTK) of both.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name; parameters as in `cov`.
    var_1, var_2, cov_12 : arrays that broadcast, the pair's variances and covariance.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    Dual
        `value` = E f(X_1) f(X_2) and `slope` = E f'(X_1) f'(X_2), the derivative of `value` along cov_12, each in
        the broadcast shape, in the inputs' library and dtype; nan where cov_12^2 > var_1 var_2 by more than
        rounding.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that do not broadcast, a negative variance (Dask: when computed; JAX, GPUs: nan).

    Notes
    -----
    `value` is `cov` plus the product of means, each with the accuracy of `cov`: |error| <= 8 eps (1 + cond) of
    |cov| + |mean_1 mean_2|. For relu these cancel as rho goes to -1.

    Autograd and JAX differentiate `value`, at |rho| = 1 too, as for an input beside itself. They differentiate
    `slope` as they do `cov_partials`. If f' jumps, as for relu, `slope` has a ridge where X_1 = X_2: its derivative
    is right along the ridge, var_1 = var_2 = cov_12, and what is infinite across it counts as 0.

    Where f itself jumps, as heaviside does, `slope` is infinite at |rho| = 1, to rounding, if both neurons jump at
    once, and has no derivatives there. A bernoulli_probit pair is two neurons, independent given their inputs.

    References
    ----------
    Cho & Saul, "Kernel methods for deep learning", 2009 (arc-cosine kernels). Williams, "Computing with infinite
    networks", 1996 (erf). Jacot, Gabriel & Hongler, "Neural tangent kernel", 2018. Daniely, Frostig & Singer,
    "Toward deeper understanding of neural networks", 2016 (dual activations).

    Examples
    --------
    >>> import fastmoments as fm
    >>> value, slope = fm.dual("relu", 1.0, 1.0, 0.5)
    >>> float(round(value, 6)), float(round(slope, 6))
    (0.304499, 0.333333)
    """
    name, parameters = of_pairs(activation)
    given = {"var_1": var_1, "var_2": var_2, "cov_12": cov_12} | parameters
    plan = plan_of(given, precision)
    library = framework_of(plan)
    arrays = library.to_arrays(plan, given)
    with library.arithmetic(plan), np.errstate(all="ignore"):
        found = library.compiled(_Dual(library, name, tuple(arrays)))(*arrays.values())
    return Dual(*(library.result(plan, x) for x in found))


@dataclass(frozen=True)
class _Dual:
    """The two means as a function of arrays, named by `keys`; those of equal activations are equal."""

    library: Any
    name: str | Custom | Composed
    keys: tuple[str, ...]

    def __call__(self, *given: Any) -> tuple[Any, Any]:
        arrays = dict(zip(self.keys, given, strict=True))
        one, two = (_side(self.library, self.name, arrays, index) for index in ("1", "2"))
        pair = pair_of(one, two), one.mu, two.mu, one.var, two.var, arrays["cov_12"]
        covariance, slope = cov(*pair), cov_partials(*pair).d_cov_12
        means = [mean(side.activation, side.mu, side.var) for side in (one, two)]
        jumps = jumps_of(one.activation)
        return covariance + means[0] * means[1], _with_deltas(self.library, jumps, slope, *pair[3:])


def _side(library: Framework[Any], name: str | Custom | Composed, arrays: Named, index: str) -> Side:
    """Return one neuron's function and moments: mean 0 in the arrays' library and dtype."""
    end = f"_{index}"
    own = {key.removesuffix(end): x for key, x in arrays.items() if key.endswith(end) and key != f"var{end}"}
    variance = arrays[f"var{end}"]
    return Side(library, name, own, library.xp.zeros_like(variance), variance)


def _with_deltas(
    library: Framework[Any], jumps: tuple[tuple[float, float], ...], slope: Any, var_1: Any, var_2: Any, cov_12: Any
) -> Any:
    """Return E f'(X_1) f'(X_2), infinite where |rho| = 1 and jumps coincide, where `cov_partials` has 0."""
    if not jumps:
        return slope
    xp = library.xp
    # of roots: products of variances underflow
    limit = xp.sqrt(var_1) * xp.sqrt(var_2)
    at_one = xp.abs(cov_12) >= (1.0 - 4.0 * float(xp.finfo(cov_12.dtype).eps)) * limit
    heights = 0.0 * slope
    for at_1, one in jumps:
        for at_2, two in jumps:
            coincide = at_1 * xp.sign(cov_12) * xp.sqrt(var_2) == at_2 * xp.sqrt(var_1)
            density = xp.exp(-0.5 * at_1 * at_1 / var_1) if at_1 else 1.0
            heights = heights + xp.where(coincide, one * two * density, 0.0 * slope)
    infinite = xp.where(heights > 0.0, np.inf, -np.inf) + 0.0 * heights
    return xp.where(at_one & (heights != 0.0), infinite, slope)
