"""The graph of a model of any library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastmoments.graph.frontends import layers, sklearn
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph
from fastmoments.layer_lists import is_list

Rules = Mapping[type, Callable[..., Any]]


def graph_of(model: Any, inputs: Inputs, rules: Rules) -> Graph:
    """Return the graph of a model of the inputs' library, or of any library's."""
    if is_list(model):
        return layers.graph_of(model, inputs)
    if sklearn.is_estimator(model):
        return sklearn.graph_of(model, inputs, rules)
    if inputs.plan.framework == "torch":
        from fastmoments.graph.frontends import torch

        return torch.graph_of(model, inputs.means, inputs.arguments, rules)
    if inputs.plan.framework == "jax":
        from fastmoments.graph.frontends import jax

        if rules:
            raise TypeError("rules: they are of modules of PyTorch; JAX traces functions")
        return jax.graph_of(model, inputs.means, inputs.arguments, inputs.single)
    hint = "; functions of PyTorch and JAX take their arrays, and tol= any" if callable(model) else ""
    raise TypeError(
        "model: for NumPy arrays expected a list of fm.compare.Affine and fm.compare.Residual, or a fitted "
        f"model of scikit-learn, got {type(model).__name__}{hint}"
    )
