"""Modules that are not traced: wrappers around a model, and those that have a rule of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import Any

import torch
from torch import nn

from fastmoments.graph.frontends.own_rules import Rule as Rule
from fastmoments.graph.frontends.own_rules import rule_of

Stop = Callable[..., Any]

# Wrappers that compute what the module inside computes, and the attribute that has it
WRAPPERS = {nn.DataParallel: "module", nn.parallel.DistributedDataParallel: "module"}
_ONE_AT_A_TIME = RLock()


def unwrapped(model: Any) -> Any:
    """The model inside compiled and parallel ones; raise for a scripted one."""
    inner = getattr(model, "_orig_mod", None) if isinstance(model, nn.Module) else None
    for wrapper, name in WRAPPERS.items():
        inner = getattr(model, name) if isinstance(model, wrapper) else inner
    compiled = getattr(model, "_torchdynamo_orig_callable", None)
    if inner is not None or compiled is not None:
        return unwrapped(compiled if inner is None else inner)
    scripted = model.named_modules() if isinstance(model, nn.Module) else [("", model)]
    for name, part in scripted:
        if isinstance(part, torch.jit.ScriptModule | torch.jit.ScriptFunction):
            raise TypeError(
                f"model: {name or 'it'} is scripted by torch.jit, which hides its operations; pass the model that "
                "was given to torch.jit.script or torch.jit.trace"
            )
    return model


def rules_of(model: Any, rules: Mapping[type, Rule]) -> dict[nn.Module, Rule]:
    """The modules that have a rule: of `rules`, or a method `__fastmoments__` of their class."""
    found: dict[nn.Module, Rule] = {}
    for module in model.modules() if isinstance(model, nn.Module) else ():
        rule = rule_of(module, rules)
        if rule is not None:
            found[module] = rule
    return found


@contextmanager
def keeping_buffers(model: Any) -> Iterator[None]:
    """Put back the buffers that the model replaces while it runs on examples, as running averages are."""
    before = {module: dict(module._buffers) for module in model.modules()} if isinstance(model, nn.Module) else {}
    try:
        yield
    finally:
        for module, own in before.items():
            module._buffers.clear()
            module._buffers.update(own)


@contextmanager
def stopping(modules: Mapping[nn.Module, Rule], stop: Callable[[nn.Module], Stop]) -> Iterator[None]:
    """End calls of these modules, from this thread, at `stop(module)`; other threads' calls go through."""
    if not modules:
        yield
        return
    thread = get_ident()
    stopped: set[nn.Module] = set()

    def forward_of(module: nn.Module) -> Stop:
        own, ours = module.forward, stop(module)

        def forward(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != thread or module in stopped:
                return own(*args, **kwargs)
            stopped.add(module)  # its rule may call it
            try:
                return ours(*args, **kwargs)
            finally:
                stopped.remove(module)

        return forward

    with _ONE_AT_A_TIME:
        before = {module: vars(module).get("forward") for module in modules}
        try:
            for module in modules:
                vars(module)["forward"] = forward_of(module)
            yield
        finally:
            for module, own in before.items():
                if own is None:
                    vars(module).pop("forward", None)
                else:
                    vars(module)["forward"] = own
