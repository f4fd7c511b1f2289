"""The elementwise functions on arrays, straight from the formulas."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from fastmoments_kernels.catalogue import row_of

Array = Any


def _pair(formula: ModuleType, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array) -> tuple[Any, Any]:
    return formula.neuron(mu_1, var_1), formula.neuron(mu_2, var_2)


def _cov(
    formula: ModuleType, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array, cov_12: Array, slack: float
) -> Array:
    return formula.cov(*_pair(formula, mu_1, mu_2, var_1, var_2), cov_12, slack)


def _cov_partials(
    formula: ModuleType, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array, cov_12: Array, slack: float
) -> tuple[Array, ...]:
    """d cov along mu_1, mu_2, var_1, var_2, cov_12: raise an order for mu, two and halve for var, both for cov."""
    one, two = _pair(formula, mu_1, mu_2, var_1, var_2)
    return (
        formula.cov_10(one, two, cov_12, slack),
        formula.cov_10(two, one, cov_12, slack),
        0.5 * formula.cov_20(one, two, cov_12, slack),
        0.5 * formula.cov_20(two, one, cov_12, slack),
        formula.product_11(one, two, cov_12, slack),
    )


PAIRWISE: dict[str, Callable[..., Any]] = {"cov": _cov, "cov_partials": _cov_partials}


def elementwise(activation: Any, name: str) -> Callable[..., Any]:
    """The function `name` (mean, var, gain, marginals, cov, cov_partials) on NumPy arrays that broadcast."""
    return partial(_call, row_of(activation).formula, name)


def _call(formula: ModuleType, name: str, *arguments: Any) -> Any:
    arrays = np.broadcast_arrays(*arguments)
    dtype = np.result_type(*arrays)
    doubles = [array.astype(np.float64) for array in arrays]
    with np.errstate(all="ignore"):
        if name in PAIRWISE:
            value: Any = PAIRWISE[name](formula, *doubles, 128 * float(np.finfo(dtype).eps))
        elif name == "marginals":
            value = formula.mean(*doubles), formula.var(*doubles)
        else:
            value = getattr(formula, name)(*doubles)
        return tuple(v.astype(dtype) for v in value) if isinstance(value, tuple) else value.astype(dtype)


def evaluate(activation: Any, x: Array) -> Array:
    """f(x) itself."""
    return row_of(activation).formula.function(np.asarray(x))
