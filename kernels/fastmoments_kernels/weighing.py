"""What flows back through a slope, of NumPy's arrays."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def weigh(weight: Array, slope: Array) -> Array:
    """weight * slope, and 0 where nothing flows into a slope that is infinite or not there."""
    return np.where(weight == 0.0, 0.0, weight * slope)
