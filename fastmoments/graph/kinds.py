"""Kinds of the arguments of `propagate`, before they are arrays: errors that say what to give instead."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from fastmoments.dispatch import Named
from fastmoments.dtypes import refuse
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.parameters import Parameters

SEVERAL = "several inputs are a tuple mu, and cov that of all their elements, (n, n)"


def check_places(model: Any, mu: Any, cov: Any) -> None:
    """Raise for a model in the place of mu or cov, and for what is no model of any library."""
    for name, value in (("mu", mu), ("cov", cov)):
        # trees of JAX, such as a module's weights, may be callable themselves
        if callable(value) and not callable(model) and not hasattr(value, "mean"):
            got = getattr(value, "__name__", type(value).__name__)
            raise TypeError(f"{name}: got the model, {got}; the model comes first, propagate(model, mu, cov)")
    if _has_no_weights(model):
        of = model if isinstance(model, type) else type(model)
        raise TypeError(
            f"model: {of.__name__} is without its weights; give the function with them, "
            "lambda x: model.apply(variables, x)"
        )
    if isinstance(model, Parameters | Custom | str):
        raise TypeError(
            f"model: got an activation, {model!r}; fm.moments({model!r}, mu, cov) takes it alone, and "
            "fm.nn.Activation(...) makes a module of it"
        )
    if isinstance(model, type):
        raise TypeError(f"model: got the class {_called(model)}; give an instance, {_called(model)}{_of(model)}")


def _has_no_weights(model: Any) -> bool:
    """Whether it is what Flax's Linen and Haiku make functions of, by weights that lie outside."""
    if not (hasattr(model, "init") and hasattr(model, "apply")):
        return False
    return isinstance(model, type) or not callable(model) or getattr(model, "scope", model) is None


def _called(kind: type) -> str:
    torch = sys.modules.get("torch")
    is_torch = torch is not None and getattr(torch.nn, kind.__name__, None) is kind
    return f"torch.nn.{kind.__name__}" if is_torch else kind.__name__


def _of(kind: type) -> str:
    """Return the call that makes an instance of a class, to follow its name."""
    if hasattr(kind, "fit"):
        return "(...).fit(x, y)"
    try:
        inspect.signature(kind).bind()
    except (TypeError, ValueError):
        return "(...)"
    return "()"


def check_kinds(model: Any, named: Named) -> None:
    """Raise for arguments that are no arrays with numbers, or not of the model's library."""
    module = getattr(sys.modules.get("torch"), "nn", None)
    for name, value in named.items():
        refuse(name, value)
        if module is not None and isinstance(model, module.Module) and not hasattr(value, "is_meta"):
            remedy = f"torch.tensor({name}.to_numpy())" if hasattr(value, "to_numpy") else "torch.as_tensor"
            raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}; use {remedy}")
        if getattr(getattr(value, "device", None), "type", None) == "meta":
            raise TypeError(f"{name}: a tensor on meta has no numbers; give one where the model's weights are")
        if getattr(value, "ndim", 0 if isinstance(value, int | float) else 1) == 0:
            is_mean = name.startswith("mu")
            expected = "an input or a batch of them" if is_mean else "a covariance (n, n), such as var * eye(n)"
            raise ValueError(f"{name}: expected {expected}, got a scalar")


def check_floats(named: Named) -> None:
    """Raise for integers, where the model has a dtype of its own."""
    for name, value in named.items():
        dtype = str(getattr(value, "dtype", "float64"))
        if "float" not in dtype:
            raise TypeError(f"{name}: expected real numbers in floating point, got {dtype}")


def takes_several(error: Exception) -> bool:
    """Whether a model raised for arguments that it was not given."""
    return isinstance(error, TypeError) and "required positional argument" in str(error)
