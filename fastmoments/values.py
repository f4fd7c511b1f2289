"""An activation's function itself, on arrays of any library."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmoments.composed.base import Composed
from fastmoments.dispatch import Named
from fastmoments.frameworks import Words
from fastmoments.parameters import of_neurons
from fastmoments_kernels.custom import Custom


def value(library: Words[Any], activation: Any, x: Any) -> Any:
    """Compute f(x), element by element; of a stochastic activation, the mean of f given x.

    Parameters
    ----------
    library : the module of `frameworks` for the array.
    activation : an object, a class or a name; parameters are numbers or arrays that broadcast with x, neurons along
        the last axis.
    x : array (...) of float32 or float64 numbers.

    Returns
    -------
    Array (...) in the dtype of x. It is differentiable along x and the parameters, by autograd and JAX.

    Raises
    ------
    NotImplementedError : a Custom function, which is NumPy's, of a tensor that requires a gradient.
    """
    name, parameters = of_neurons(activation)
    return function_of(library, name, x)(x, *as_arrays(library, parameters, x))


def as_arrays(library: Words[Any], parameters: Named, like: Any) -> list[Any]:
    """Return the parameters that `parameters.of_neurons` returns as arrays in the dtype of `like`."""
    arrays = (value if hasattr(value, "dtype") else np.asarray(value) for value in parameters.values())
    return [library.constant(array, like) for array in arrays]


def function_of(library: Words[Any], name: str | Custom | Composed, like: Any) -> Callable[..., Any]:
    """Return f(x, *parameters) on arrays of the dtype of `like`, for what `parameters.of_neurons` returns."""
    if isinstance(name, Composed):
        composed = name
        return lambda x: composed.function(library.xp, x)
    return library.function_of(name, like)
