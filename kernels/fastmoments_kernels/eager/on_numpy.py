"""arrays.py on NumPy: a reader can step through it, and tests compare bound formulas with it."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from fastmoments_kernels import vocabulary
from fastmoments_kernels.arrays import ArrayFunctions, NormalFunctions, Words
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.kinds import is_of_pair, slack_of

WORDS = Words(
    vocabulary=vars(vocabulary),
    diagonal=lambda cov: np.einsum("...ii->...i", cov),
    transpose=lambda cov: np.swapaxes(cov, -1, -2),
    triangle=lambda n, like, k: np.triu(np.ones((n, n), bool), k),
    rule=lambda function, partials: function,
)


@cache
def functions(name: str) -> ArrayFunctions:
    """An activation's functions on NumPy arrays."""
    return ArrayFunctions(row_of(name).formula, WORDS)


@cache
def _normal_functions() -> NormalFunctions:
    return NormalFunctions(WORDS)


def elementwise(activation: Any, name: str, inputs: int | None = None) -> Callable[..., Any]:
    """The function `name` (mean, var, gain, marginals, cov, cov_partials ...) on NumPy arrays that broadcast."""
    return partial(_call, functions(row_of(activation).name).elementwise(name), is_of_pair(name))


def normal(name: str) -> Callable[..., Any]:
    """The function `name` of OF_NORMAL on NumPy arrays that broadcast."""
    return partial(_call, _normal_functions().elementwise(name), False)


def _call(function: Callable[..., Any], has_slack: bool, *arguments: Any) -> Any:
    """Call the function in float64, and return results in the arrays' dtype."""
    arrays = np.broadcast_arrays(*arguments)
    dtype = np.result_type(*arrays)
    slack = (slack_of(2, float(np.finfo(dtype).eps)),) if has_slack else ()
    with np.errstate(all="ignore"):
        value = function(*(array.astype(np.float64) for array in arrays), *slack)
    return tuple(v.astype(dtype) for v in value) if isinstance(value, tuple) else value.astype(dtype)
