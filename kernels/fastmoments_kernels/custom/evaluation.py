"""Calling a user's function, and checking that it returns real numbers and treats every element by itself."""

from typing import Any

import numpy as np

from fastmoments_kernels.custom.activation import Custom

Array = np.ndarray[Any, Any]

ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of f as users compute it
# The points at which f is called twice: PLACES standard deviations from the mean of NEURONS neurons. The second
# array lacks the ends, and so has other sums, ranks and ends. LEAST is the least standard deviation, in units of
# |mu| or 1.
PLACES, NEURONS, LEAST = np.linspace(-2.5, 3.1, 13), 4, 1e-5


def evaluate(activation: Custom, x: Array) -> Array:
    """f of every element, in a new array, because a function may return the same array again."""
    try:
        value = activation.function(x.copy())
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"function: expected one that takes float64 arrays, here of shape {x.shape}, got {error!r}; "
            "numpy.vectorize(f, otypes=[float]) makes one of a function of numbers"
        ) from error
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("function: masks are not taken into account; return numpy.ma.filled(value, numpy.nan)")
    if np.iscomplexobj(value):
        raise TypeError("function: expected real numbers, got complex ones; return their .real or .imag")
    try:
        # not by np.array(dtype=), at which tensors warn of a copy
        numbers: Array = np.asarray(value).astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"function: expected an array of real numbers, got {type(value).__name__}") from error
    if numbers.shape != x.shape:
        raise ValueError(f"function: expected one value per element, {x.shape}, got {numbers.shape}")
    return numbers


def check_elementwise(activation: Custom, mu: Array, sd: Array) -> None:
    """Raise if f of a number differs between two arrays, two places in an array, or two calls."""
    some = np.flatnonzero(np.isfinite(mu) & np.isfinite(sd))[:NEURONS]
    if not some.size:
        return
    mu, sd = mu[some, None], sd[some, None]
    x = mu + np.maximum(sd, LEAST * np.maximum(np.abs(mu), 1.0)) * PLACES
    part = x[:, 2:-3].ravel()
    here, there = evaluate(activation, x)[:, 2:-3].ravel(), evaluate(activation, part[::-1])[::-1]
    finite = here[np.isfinite(here)]
    limit = activation.tol * np.ptp(finite) + ROUNDING * np.abs(finite).max() if finite.size else 0.0
    same = (here == there) | (np.abs(here - there) <= limit) | (np.isnan(here) & np.isnan(there))
    if not same.all():
        i = int(np.argmin(same))
        raise ValueError(
            f"function: expected f of every element by itself, but f({part[i]:g}) is {here[i]:g} in one "
            f"array and {there[i]:g} in another: it depends on other elements, their order, their number or "
            "chance; numpy.vectorize(f, otypes=[float]) makes an elementwise function of one of numbers"
        )
