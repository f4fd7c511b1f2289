"""Runs of a PyTorch model on a few examples, which two runs agree on: operations for any number of rows."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import string_at
from traceback import walk_tb
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from fastmoments.graph.frontends.torch_callers import CALL
from fastmoments.graph.frontends.torch_entries import Entry, RefusalError
from fastmoments.graph.frontends.torch_functions import Functions
from fastmoments.graph.frontends.torch_modules import Rule, keeping_buffers, stopping
from fastmoments.graph.frontends.torch_runs import operations_of, taken
from fastmoments.graph.frontends.torch_trace import Recorder
from fastmoments.graph.kinds import SEVERAL, takes_several

DRAWS = (
    "the model draws random numbers of Python or NumPy, of which one draw would be kept: call model.eval(), or "
    "give what draws a rule (docs/networks.md)"
)


class Model(NamedTuple):
    """A model, `arguments` that makes its arguments of a list of tensors, and the modules that have rules.

    `known` are the names of operations with rules. The model is `transformed` inside torch.func.
    """

    function: Any
    arguments: Callable[[Sequence[Tensor]], tuple[Sequence[Any], Mapping[str, Any]]]
    rules: Mapping[nn.Module, Rule]
    known: set[str]
    transformed: bool


class Run(NamedTuple):
    """One run: its operations, its outputs as Refs, and the structure that they come in."""

    entries: list[Entry]
    outputs: list[Any]
    tree: Any


def traced(model: Model, mus: Sequence[Tensor]) -> tuple[list[Any], list[Any], Any]:
    """The model's operations, its outputs as Refs, and the structure that they come in."""
    examples = examples_of(mus)
    before = generators()
    # the run of which the first input is the first row comes first, for hooks that look
    with keeping_buffers(model.function):
        three = run_of(model, examples)
        two = run_of(model, list(map(taken, examples)), three.entries)
    if generators() != before:
        _name_who_draws(model, examples)
    return operations_of(two.entries, three.entries, three.outputs), three.outputs, three.tree


def examples_of(mus: Sequence[Tensor]) -> list[Tensor]:
    """Three examples: the first input, and two around it. Their values tell rows apart, no more."""
    found = []
    for k, mu in enumerate(mus):
        mu = mu.detach().as_subclass(Tensor)  # subclasses hide which tensor is which
        first = mu[:1] if len(mu) else mu.new_zeros(1, *mu.shape[1:])
        number = torch.arange(k + 1, k + 1 + 2 * first.numel(), dtype=torch.float64)  # of which no sine is 0
        off = torch.sin(number * (number + 1.0)).reshape(2, *mu.shape[1:]).to(mu.device, mu.dtype)
        off[1] *= 4.0  # so that statistics of the batch differ between the runs
        found.append(torch.cat([first, first + off * (1.0 + first.abs())]))
    return found


def run_of(model: Model, inputs: Sequence[Tensor], earlier: list[Entry] | None = None) -> Run:
    """Run the model once; `earlier` are the entries of a run of more rows."""
    named = model.function.named_modules() if isinstance(model.function, nn.Module) else ()
    names = {id(module): name or "model" for name, module in named}
    recorder = Recorder(names, model.known, earlier)
    inputs = [x.clone() for x in inputs]
    for k, x in enumerate(inputs):
        recorder.begin(x, "input" if len(inputs) == 1 else f"input {k}")
    recorder.builds = not model.transformed
    rules, tracked = model.rules, torch.is_grad_enabled()

    def stop(module: nn.Module) -> Callable[..., Tensor]:
        return lambda *args: recorder.leaf(module, rules[module], args, tracked)

    args, kwargs = model.arguments(inputs)
    try:
        functions = Functions(recorder, model.transformed)
        with torch.no_grad(), stopping(rules, stop), _taken_apart(), functions, recorder:
            out, tree = pytree.tree_flatten(model.function(*args, **kwargs))
            outputs = [recorder.ref_of(x) if isinstance(x, Tensor) and recorder.depends(x) else x for x in out]
    except RefusalError as error:
        raise error.kind(str(error)) from None
    except Exception as error:
        _explain(recorder, inputs, error)
    if recorder.refused is not None:
        raise recorder.refused.kind(str(recorder.refused))
    return Run(recorder.entries, outputs, tree)


@contextmanager
def _taken_apart() -> Iterator[None]:
    """Attention and recurrent layers by the operations that they consist of, not by one kernel."""
    mkldnn = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch._C._set_mkldnn_enabled(mkldnn)


def _explain(recorder: Recorder, inputs: Sequence[Tensor], error: Exception) -> None:
    """Raise for an error of the model's own."""
    if recorder.refused is not None:
        raise recorder.refused.kind(str(recorder.refused)) from None
    shapes = ", ".join(str(("batch", *x.shape[1:])).replace("'", "") for x in inputs)
    several = any(x.ndim > 2 for x in inputs)
    hint = "; a single input that has several dimensions goes in as mu[None]" if several else ""
    hint = f"; {SEVERAL}" if takes_several(error) else hint
    raise ValueError(
        f"mu: the model raises for inputs of shape {shapes}{_where(error)}: {type(error).__name__}: {error}{hint}"
    ) from error


def _where(error: Exception) -> str:
    """Return the module that raised, as it prints itself, if it is one of a line."""
    frames = (frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__))
    modules = [str(module) for module in frames if isinstance(module, torch.nn.Module)]
    return f", in {modules[-1]}" if modules and "\n" not in modules[-1] else ""


def generators() -> Any:
    """The states of the generators that a model may draw from without an operation of PyTorch."""
    numpy: Any = np.random.get_bit_generator()  # type: ignore[attr-defined]
    # 624 words and a position; to ask for the state itself takes 20 times as long
    is_default = isinstance(numpy, np.random.MT19937)
    state = string_at(numpy.ctypes.state_address, 2500) if is_default else str(numpy.state)
    return random.getstate()[1], state


def _name_who_draws(model: Model, inputs: Sequence[Tensor]) -> None:
    """Run once more, and raise with the path of the module in which a generator's state changes."""
    raise TypeError(f"{where_changed(model.function, generators, lambda: run_of(model, inputs))}: {DRAWS}")


def where_changed(model: Any, state: Callable[[], Any], run: Callable[[], Any]) -> str:
    """Run a model, and return the path of the module in which a state changes."""
    before, found = state(), list[str]()
    named = model.named_modules() if isinstance(model, nn.Module) else ()
    names = {id(module): name or "model" for name, module in named}

    def watch(frame: Any, event: str, argument: Any) -> None:
        # a call of the interpreter's: no module can hide from it
        if event == "return" and frame.f_code is CALL and not found and state() != before:
            found.append(names.get(id(frame.f_locals["self"]), "model"))

    profile = sys.getprofile()
    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(profile)
    return (found or ["model"])[0]
