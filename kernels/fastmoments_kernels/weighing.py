"""Gradients through a slope, on NumPy arrays."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def weigh(weight: Array, slope: Array) -> Array:
    """weight * slope, and 0 where the weight is 0 and the slope infinite or nan."""
    return np.where(weight == 0.0, 0.0, weight * slope)
