"""The activation that another library's module or function is, as its front end knows it in networks."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np

from fastmoments.graph.functions import Function
from fastmoments.graph.identify import activation_of
from fastmoments.graph.nodes import Activation, Affine, Graph
from fastmoments.graph.rewrite import rewrite
from fastmoments.parameters import name_of
from fastmoments_kernels.custom import Custom

ADVICE = "give fm.propagate the model, or for a function of one number fm.Custom(f, kinks=...)"


def activation_meant(given: Any) -> Any:
    """Return an activation of the package with the values of a PyTorch module or function, of JAX's, or of a ufunc.

    None stands for what is none of these. No library is imported that is not loaded.

    Raises
    ------
    ValueError : one that is no function of one number, or has no rule.
    """
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    try:
        if isinstance(given, np.ufunc):
            return _of_ufunc(given)
        if torch is not None and _is_of_torch(torch, given):
            # each time: parameters of a module may have changed
            return _of_torch(given)
        if jax is not None and callable(given) and _module_of(given) in ("jax", "flax"):
            return _of_jax(given)
    except TypeError as error:
        raise ValueError(f"activation: {name_of(given)} is not one: {error}; {ADVICE}") from error
    return None


@lru_cache(maxsize=256)
def _of_ufunc(ufunc: np.ufunc) -> Any:
    if (ufunc.nin, ufunc.nout) != (1, 1):
        raise TypeError(f"it takes {ufunc.nin} arrays and returns {ufunc.nout}")
    values = Graph((), (), _nothing, lambda f, x: f(x), _nothing, lambda f: f, np)
    found = activation_of(ufunc.__name__, Function(ufunc), values)
    # its kinks are not known
    if (found.scale, found.shift) != (1.0, 0.0) or isinstance(found.activation, Custom):
        raise TypeError("it has the values of none that is known")
    return found.activation


def _nothing(*given: Any) -> Any:
    raise AssertionError("functions of one number are not run")


def _of_torch(given: Any) -> Any:
    import torch

    from fastmoments.graph.frontends.torch import graph_of

    model = given() if isinstance(given, type) else given
    dtypes = [x.dtype for x in model.parameters()] if isinstance(model, torch.nn.Module) else []
    like = torch.zeros(1, 1, dtype=dtypes[0] if dtypes else torch.float64)
    return _single(rewrite(graph_of(model, [like], _as_they_are, {}), whole_sums=True))


@lru_cache(maxsize=256)  # JAX takes a second
def _of_jax(given: Any) -> Any:
    import jax

    from fastmoments.graph.frontends.jax import graph_of

    with jax.enable_x64(True):
        graph = graph_of(given, [jax.numpy.zeros((1, 1))], _as_they_are, True)
        return _single(rewrite(graph, whole_sums=True))


def _is_of_torch(torch: Any, given: Any) -> bool:
    if isinstance(given, torch.nn.Module) or (isinstance(given, type) and issubclass(given, torch.nn.Module)):
        return True
    # built-in functions have no module
    is_named = getattr(torch, getattr(given, "__name__", ""), None) is given
    return callable(given) and (is_named or _module_of(given) == "torch")


def _module_of(given: Any) -> str:
    """Return the library of a function, with keywords bound by functools.partial or without."""
    return str(getattr(getattr(given, "func", given), "__module__", None)).partition(".")[0]


def _as_they_are(arrays: Any) -> tuple[list[Any], dict[str, Any]]:
    return list(arrays), {}


def _single(graph: Graph) -> Any:
    """Return the activation of a graph of nothing else."""
    (source,), (node, *others) = graph.inputs, graph.outputs
    while isinstance(node.rule, Affine) and node.rule.unchanged:
        (node,) = node.inputs  # a copy
    if not others and isinstance(node.rule, Activation) and node.inputs == (source,):
        return node.rule.activation
    raise TypeError("it is more, or less, than one activation")
