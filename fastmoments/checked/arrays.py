"""Values of any library's arrays on the host, which decide how many points are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.frameworks import Words

FloatArray = NDArray[np.float64]

COMPLEX = "model: it returns complex numbers; return their real and imaginary parts"


def on_host(words: Words[Any], array: Any) -> FloatArray:
    """Return the values in float64; raise where there are none, as under jax.jit, jax.vmap and torch.func."""
    try:
        found = in_double(words, words.detached(array))  # first, for NumPy has no bfloat16
        return np.asarray(found.cpu() if hasattr(found, "cpu") else found, dtype=float)
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            "tol: it needs values, to count points until the claim is met, and there are none under jit, vmap or "
            "transforms of functions; call it outside of these, or use cumulants=True inside"
        ) from error


def in_double(words: Words[Any], array: Any) -> Any:
    """Return the array in float64, in JAX in the widest dtype that it has been allowed."""
    return words.xp.asarray(array, dtype=float)
