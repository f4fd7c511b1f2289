"""Functions of activations themselves on NumPy arrays."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments_kernels import serving, vocabulary
from fastmoments_kernels.bind import bind
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom, evaluate

Array = NDArray[Any]


def function_of(activation: str | Custom, like: Array) -> Callable[..., Array]:
    """Return f(x, *parameters) on arrays of the dtype of `like`."""
    if not isinstance(activation, Custom):
        bound: Callable[..., Array] = _bound(activation)
        return bound
    return lambda x: evaluate(activation, x.astype(np.float64, copy=False)).astype(x.dtype, copy=False)


@cache
def _bound(name: str) -> Any:
    return bind(row_of(name).formula.function, vars(vocabulary) | {"cdf": _cdf, "erf": _erf})


def _cdf(x: Array) -> Array:
    """Phi(x) by the compiled kernel, 12 times as fast as the formula on arrays: without variance a mean is f."""
    return _mean("probit", x)


def _erf(x: Array) -> Array:
    return _mean("erf", x)


def _mean(activation: str, x: Array) -> Array:
    function = serving.elementwise(activation, "mean", 2, x.size, x.dtype.name)
    value: Array = function(x, np.zeros((), x.dtype))
    return value
