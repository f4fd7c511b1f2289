"""Who calls an operation: which module of the model, and whether a hook of it."""

import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

CALL = nn.Module._call_impl.__code__


def innermost(names: Mapping[int, str]) -> str:
    """The path of the innermost module that is being called, by its id; "model" for the whole."""
    # the stack knows: hooks of ours would be seen by other threads
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is CALL:
            name = names.get(id(frame.f_locals["self"]))
            if name is not None:
                return name or "model"
        frame = frame.f_back
    return "model"


def in_hook() -> bool:
    """Whether a hook of a module calls, rather than its forward."""
    frame, inner = sys._getframe(1), None
    while frame is not None:
        if frame.f_code.co_name in ("_call_impl", "inner") and "torch/nn/modules" in frame.f_code.co_filename:
            forward = getattr(getattr(frame.f_locals.get("self"), "forward", None), "__code__", None)
            return inner is not None and inner.f_code not in (CALL, forward)
        frame, inner = frame.f_back, frame  # type: ignore[assignment]
    return False
