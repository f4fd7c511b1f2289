"""The methods that most experiments compare."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fastmoments as fm

Layers = list[Any]
Method = Callable[[Layers, Any, Any], fm.Moments]


def ignore(layers: Layers, mu: Any, cov: Any) -> fm.Moments:
    """The network's value at the mean, without variance."""
    return fm.compare.linearise(layers, mu, np.zeros_like(cov))


def mean_field_behind_inputs(layers: Layers, mu: Any, cov: Any) -> fm.Moments:
    """Kuang and Lin's mean-field: the input's correlations are kept, those behind every layer dropped."""
    mean, full = fm.compare.analytic(layers[:1], mu, cov)
    var = np.diagonal(full, axis1=-2, axis2=-1)
    return fm.compare.mean_field(layers[1:], mean, var[..., None] * np.eye(var.shape[-1]))


METHODS: dict[str, Method] = {
    "fastmoments": fm.compare.analytic,
    "mean-field": fm.compare.mean_field,
    "linearised": fm.compare.linearise,
    "unscented 1995": partial(fm.compare.unscented, weights="1995"),
    "unscented 2002": partial(fm.compare.unscented, weights="2002"),
}
UNSCENTED = (
    "Unscented 1995 is n + kappa = n with no weight on the centre, unscented 2002 has alpha = 1e-3, beta = 2, "
    "kappa = 0."
)
