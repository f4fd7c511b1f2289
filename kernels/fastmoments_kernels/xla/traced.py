"""Users' functions as JAX traces them."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fastmoments_kernels.custom import Custom, Formula, check_elementwise
from fastmoments_kernels.xla.vocabulary import absolute, log1p, maximum


class Names:
    """The words of the ready-made functions on JAX's arrays."""

    tanh = staticmethod(jnp.tanh)
    exp = staticmethod(jnp.exp)
    expit = staticmethod(jax.nn.sigmoid)
    abs = staticmethod(absolute)
    log1p = staticmethod(log1p)
    maximum = staticmethod(maximum)


def function_of(activation: Custom) -> Callable[[Array], Array]:
    """f on JAX's arrays, in their dtype; an error if it is not written for them, or not one value per element."""
    function = activation.function
    if isinstance(function, Formula):
        formula = function.formula
        return lambda x: formula(Names, x)
    _check(activation)

    def call(x: Array) -> Array:
        try:
            value = jnp.asarray(function(x))
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise TypeError(
                "function: JAX traces it: write it with jax.numpy in place of NumPy and SciPy, and with "
                "jax.numpy.where in place of if"
            ) from error
        if jnp.iscomplexobj(value):
            raise TypeError("function: expected real numbers, got complex ones; return their .real or .imag")
        if value.shape != x.shape:
            raise ValueError(f"function: expected one value per element, {x.shape}, got {value.shape}")
        return value.astype(x.dtype)

    return call


@lru_cache(maxsize=256)
def _check(activation: Custom) -> None:
    """Raise if f of a number depends on others: at numbers, because a trace shows neither."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        check_elementwise(activation, np.array([0.3]), np.array([1.0]))
