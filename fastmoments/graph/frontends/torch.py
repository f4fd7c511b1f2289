"""PyTorch: the model runs on a few examples, and what ATen is asked for with their values is the graph."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import string_at
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fastmoments.graph.frontends.torch_affine import AFFINE, affine_of
from fastmoments.graph.frontends.torch_calls import Call, Constants
from fastmoments.graph.frontends.torch_elementwise import KNOWN, MULTIPLES, SUMS, arithmetic_of, elementwise_of
from fastmoments.graph.frontends.torch_entries import Earlier, Entry, Leaf, Ref, RefusalError
from fastmoments.graph.frontends.torch_modules import Rule, rules_of, stopping, unwrapped
from fastmoments.graph.frontends.torch_runs import operations_of, taken
from fastmoments.graph.frontends.torch_trace import Looks, Recorder
from fastmoments.graph.nodes import Graph, Input, Node, evaluate

NAMES = {*AFFINE, *KNOWN, *MULTIPLES, *SUMS}
HINTS = {
    "native_layer_norm": "LayerNorm", "native_group_norm": "GroupNorm", "_softmax": "softmax",
    "max_pool2d_with_indices": "max pooling", "_scaled_dot_product_flash_attention_for_cpu": "attention",
}  # fmt: skip
ADVICE = "give the module a rule of its own (docs/networks.md), or propagate the parts before and after it"


def graph_of(model: Any, mus: Sequence[Tensor], arguments: Any, rules: Mapping[type, Rule]) -> Graph:
    """The graph of model(*args, **kwargs); `arguments` makes these of the inputs, of tensors like mus."""
    model = unwrapped(model)
    if isinstance(model, type) or not callable(model):
        raise TypeError(f"model: expected a torch.nn.Module or a function of tensors, got {model!r}")
    check_kinds(model, mus)
    if torch._C._are_functorch_transforms_active():
        # their stack belongs to this thread, and hides which tensor is which
        likes = [torch.zeros(mu.shape, dtype=mu.dtype, device=mu.device) for mu in mus]
        with ThreadPoolExecutor(1) as pool:
            traced = pool.submit(_traced, model, likes, arguments, rules).result()
    else:
        traced = _traced(model, mus, arguments, rules)
    return _graph(traced, rules_of(model, rules), mus[0].detach())


def check_kinds(model: Any, mus: Sequence[Tensor]) -> None:
    """Raise unless the model's parameters go with the inputs."""
    if not isinstance(model, nn.Module):
        return
    for name, parameter in model.named_parameters():
        mu = mus[0]
        if parameter.is_floating_point() and parameter.dtype != mu.dtype and len({x.dtype for x in mus}) == 1:
            raise TypeError(
                f"mu: expected the dtype of the model's {name}, {parameter.dtype}, got {mu.dtype}; use "
                f"mu.to({parameter.dtype}), or model.to({mu.dtype})"
            )
        if parameter.device != mu.device:
            raise TypeError(f"mu: expected a tensor on {parameter.device} as the model's {name}, got {mu.device}")


def _traced(model: Any, mus: Sequence[Tensor], arguments: Any, rules: Mapping[type, Rule]) -> Any:
    """The operations of two runs, the Refs of the outputs, and the structure they come in."""
    examples = _examples(mus)
    before = _generators()
    # the run of which the first input is the first row comes first, for hooks that look
    three = run_of(model, examples, arguments, rules)
    two = run_of(model, list(map(taken, examples)), arguments, rules, Earlier(three[0], taken))
    if _generators() != before:
        _name_who_draws(model, list(map(taken, examples)), arguments, rules)
    return operations_of(two[0], three[0], three[1]), *three[1:]


def _examples(mus: Sequence[Tensor]) -> list[Tensor]:
    """Three examples: the first input, and two around it. Their values tell rows apart, no more."""
    found = []
    for k, mu in enumerate(mus):
        first = mu.detach()[:1] if len(mu) else mu.new_zeros(1, *mu.shape[1:])
        number = torch.arange(k, k + 2 * first.numel(), dtype=torch.float64)
        off = torch.sin(number * (number + 1.0)).reshape(2, *mu.shape[1:]).to(mu.device, mu.dtype)
        found.append(torch.cat([first, first + off * (1.0 + first.abs())]))
    return found


def run_of(
    model: Any,
    inputs: Sequence[Tensor],
    arguments: Any,
    rules: Mapping[type, Rule],
    earlier: Earlier | None = None,
    watch: Any = None,
) -> tuple[list[Entry], list[Ref | Any], Any]:
    """Run the model once: its operations, and its outputs, tensors as Refs."""
    named = model.named_modules() if isinstance(model, nn.Module) else ()
    names = {id(module): name for name, module in named}
    recorder = Recorder(names, NAMES, earlier, watch)
    inputs = [x.clone() for x in inputs]
    for k, x in enumerate(inputs):
        recorder.begin(x, "input" if len(inputs) == 1 else f"input {k}")
    own = rules_of(model, rules)

    def stop(module: nn.Module) -> Any:
        return lambda *args: recorder.leaf(
            module, names[id(module)] or "model", args, _value_of(own[module], module, args)
        )

    args, kwargs = arguments(inputs)
    try:
        with torch.no_grad(), stopping(own, stop), Looks(recorder), recorder:
            out, tree = pytree.tree_flatten(model(*args, **kwargs))
            refs = [recorder.ref_of(x) if isinstance(x, Tensor) and recorder.depends(x) else x for x in out]
    except RefusalError as error:
        raise error.kind(str(error)) from None
    except Exception as error:
        _explain(recorder, inputs, error)
    if recorder.refused is not None:
        raise recorder.refused.kind(str(recorder.refused))
    return recorder.entries, refs, tree


def _explain(recorder: Recorder, inputs: Sequence[Tensor], error: Exception) -> None:
    """Raise for an error of the model's own."""
    if recorder.refused is not None:
        raise recorder.refused.kind(str(recorder.refused)) from None
    shapes = ", ".join(str(("batch", *x.shape[1:])).replace("'", "") for x in inputs)
    raise ValueError(
        f"mu: the model raises for inputs of shape {shapes}: {type(error).__name__}: {error}; a single input that "
        "has several dimensions goes in as mu[None]"
    ) from error


def _value_of(rule: Rule, module: nn.Module, args: Any) -> Any:
    """What a module with a rule returns: the rule's function."""

    def value(*tensors: Tensor) -> Tensor:
        nodes = [Node(Input(), (), tuple(x.shape[1:]), "input") for x in args]
        found: Tensor = evaluate(rule(module, *nodes), dict(zip(nodes, tensors, strict=True)))
        return found

    return value


def _generators() -> Any:
    """The states of the generators that a model may draw from without an operation of PyTorch."""
    numpy = np.random.get_bit_generator()
    # 624 words and a position; to ask for the state itself takes 20 times as long
    is_default = isinstance(numpy, np.random.MT19937)
    state = string_at(numpy.ctypes.state_address, 2500) if is_default else str(numpy.state)
    return random.getstate()[1], state


def _name_who_draws(model: Any, inputs: Sequence[Tensor], arguments: Any, rules: Mapping[type, Rule]) -> None:
    """Run once more and raise at the first operation behind a draw, which is in the module that draws."""
    before, last = _generators(), ["model"]

    def watch(path: str) -> None:
        if _generators() != before:
            raise RefusalError(TypeError, f"{path}: {_DRAWS}")
        last[0] = path

    run_of(model, inputs, arguments, rules, watch=watch)
    raise TypeError(f"{last[0]}: {_DRAWS}")


_DRAWS = (
    "the model draws random numbers of Python or NumPy, of which one draw would be kept: call model.eval(), or "
    "give what draws a rule (docs/networks.md)"
)


def _graph(traced: Any, own: Mapping[nn.Module, Rule], mu: Tensor) -> Graph:
    operations, outputs, tree = traced
    constants, nodes = Constants(operations), dict[Ref, Node]()
    inputs: list[Node] = []
    for k, operation in enumerate(operations):
        if operation is not None and operation.depends:
            for j, layout in enumerate(operation.layouts):
                ref = Ref(k, j)
                if layout is None:
                    continue
                if operation.function is None:
                    nodes[ref] = Node(Input(), (), layout.shape, operation.path)
                    inputs.append(nodes[ref])
                elif isinstance(operation.function, Leaf):
                    module = operation.function.module
                    nodes[ref] = own[module](module, *(nodes[x] for x in operation.args))
                    nodes[ref].name = operation.path
                else:
                    nodes[ref] = _node(Call(operation, constants, nodes), j, layout.shape)
    found = []
    for k, x in enumerate(outputs):
        if not isinstance(x, Ref):
            what = "the model's output" if len(outputs) == 1 else f"output {k} of the model"
            raise TypeError(f"model: {what}, {type(x).__name__}, does not depend on its input; return it apart")
        found.append(nodes[x])
    layouts = [operations[ref.entry].layouts[ref.output] for ref in outputs]

    def rebuild(values: Sequence[Tensor], single: bool) -> Any:
        pairs = zip(layouts, values, strict=True)
        return pytree.tree_unflatten([x[0] if single else layout.native(x) for layout, x in pairs], tree)

    return Graph(inputs, found, rebuild, numbers, partial(_rows, mu), custom, torch)


def _node(call: Call, output: int, shape: tuple[int, ...]) -> Node:
    """The node of one result of an operation."""
    name, inputs = call.name, call.inputs
    scalar = learned = None
    is_cast = name == "_to_copy" and not call.dtypes[0].is_floating_point
    if name in (*SUMS, *MULTIPLES):
        rule, inputs = arithmetic_of(call, shape)
        scalar = call.scalar()
    elif name in KNOWN and (name not in AFFINE or is_cast or _is_elementwise(call)):
        rule, scalar = elementwise_of(call, output), call.scalar()
    elif name in AFFINE:
        rule = affine_of(call, output)
    else:
        what = HINTS.get(name, name)
        raise TypeError(f"{call.operation.path}: {what} has no rule; {ADVICE}")
    learned = scalar is not None and call.learned()
    return Node(rule, inputs, shape, call.label, scalar, learned)


def _is_elementwise(call: Call) -> bool:
    """Whether a choice depends on values of the network."""
    return call.is_input("condition") or call.is_input("mask")


def numbers(function: Any, x: Any) -> Any:
    """A scalar function's values of NumPy's numbers."""
    with torch.no_grad():
        return function(torch.from_numpy(np.ascontiguousarray(x))).double().numpy()


def _rows(like: Tensor, function: Any, x: Any) -> Any:
    """The values of a map of rows at NumPy's numbers."""
    with torch.no_grad():
        return function(torch.from_numpy(x).to(like.device, like.dtype)).double().numpy(force=True)


def custom(function: Any) -> Any:
    """A scalar function of tensors as `fm.Custom` takes it."""
    return lambda x: numbers(function, x)
