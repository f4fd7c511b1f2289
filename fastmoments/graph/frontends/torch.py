"""PyTorch: the model runs on a few examples, and what ATen is asked for with their values is the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from fastmoments.graph.frontends.torch_affine import AFFINE, affine_of
from fastmoments.graph.frontends.torch_calls import Call, Constants
from fastmoments.graph.frontends.torch_elementwise import KNOWN, MULTIPLES, SUMS, arithmetic_of, elementwise_of
from fastmoments.graph.frontends.torch_entries import Leaf, Ref, array_of
from fastmoments.graph.frontends.torch_joint import JOINT, joint_of
from fastmoments.graph.frontends.torch_model import Model, traced
from fastmoments.graph.frontends.torch_modules import Rule, rules_of, unwrapped
from fastmoments.graph.frontends.torch_noise import DROPOUT, dropout_of
from fastmoments.graph.frontends.torch_runs import Layout, Operation
from fastmoments.graph.nodes import Graph, Input, Node, Unknown

SAME_ROWS = {torch.float64: 1e-10}  # of values of rows, to their size: roundings of the model's dtype
NAMES = {*AFFINE, *KNOWN, *MULTIPLES, *SUMS, *JOINT}
ADVICE = "give the module a rule of its own (docs/networks.md), or propagate the parts before and after it"
ORDER = "the order of values is no Gaussian; use maxima, or propagate the parts before and after it"
POSITION = "positions of values are no Gaussian; use the values, or propagate the parts before it"
SPREAD = "it has a rule only inside of a norm that divides by it; write squares and a mean for the variance"
ON_CPU = "there is a rule for it on the CPU, where it consists of others; move the model and mu there"
# What helps where an operation has no rule
HINTS = dict.fromkeys(("sort", "topk", "kthvalue", "median", "nanmedian", "mode", "searchsorted"), ORDER)
HINTS |= dict.fromkeys(("argmax", "argmin", "argsort", "bucketize", "nonzero"), POSITION)
HINTS |= dict.fromkeys(("std", "var", "std_mean", "var_mean", "linalg_vector_norm"), SPREAD)
HINTS |= dict.fromkeys(("_cudnn_rnn", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "miopen_rnn"), ON_CPU)
HINTS |= dict.fromkeys(("prod", "cumprod"), "multiply two values at a time")
HINTS |= dict.fromkeys(
    ("_fft_r2c", "_fft_c2r", "_fft_c2c"),
    "complex numbers have no rule; multiply by the matrices of cosines and sines",
)


def graph_of(model: Any, mus: Sequence[Tensor], arguments: Any, rules: Mapping[type, Rule]) -> Graph:
    """The graph of model(*args, **kwargs); `arguments` makes these of the inputs, of tensors like mus."""
    model = unwrapped(model)
    if not callable(model):
        raise not_a_model(model)
    check_kinds(model, mus)
    transformed = torch._C._are_functorch_transforms_active()
    traceable = Model(model, arguments, rules_of(model, rules), NAMES, transformed)
    if transformed:
        # their stack belongs to this thread, and hides which tensor is which
        likes = [torch.zeros(mu.shape, dtype=mu.dtype, device=mu.device) for mu in mus]
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(traced, traceable, likes).result()
    else:
        found = traced(traceable, mus)
    return _graph(traceable, found, mus[0].detach())


def not_a_model(model: Any) -> TypeError:
    """Return the error for what is neither a module nor a function; a dictionary is likely a module's weights."""
    got = repr(model)
    if isinstance(model, Mapping):
        got = f"{type(model).__name__}; is it a state_dict? give the module that load_state_dict has read it into"
    return TypeError(f"model: expected a torch.nn.Module or a function of tensors, got {got}")


def check_kinds(model: Any, mus: Sequence[Tensor]) -> None:
    """Raise unless the model's parameters go with the inputs."""
    if not isinstance(model, nn.Module):
        return
    for name, parameter in model.named_parameters():
        check_numbers(name, parameter)
        mu = mus[0]
        if parameter.is_floating_point() and parameter.dtype != mu.dtype and len({x.dtype for x in mus}) == 1:
            raise TypeError(
                f"mu: expected the dtype of the model's {name}, {parameter.dtype}, got {mu.dtype}; use "
                f"mu.to({parameter.dtype}), or model.to({mu.dtype})"
            )
        if parameter.device != mu.device:
            raise TypeError(f"mu: expected a tensor on {parameter.device} as the model's {name}, got {mu.device}")


def check_numbers(name: str, parameter: Tensor) -> None:
    """Raise for a parameter without memory."""
    if is_lazy(parameter):
        raise TypeError(f"model: its {name} has no shape yet; call the model once with an input")
    if parameter.device.type == "meta":
        remedy = 'model.to_empty(device="cpu") and load_state_dict give it some'
        raise TypeError(f"model: its {name} is on meta, where it has no numbers; {remedy}")


def _graph(model: Model, found: tuple[list[Any], list[Any], Any], mu: Tensor) -> Graph:
    operations, outputs, tree = found
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
                    _check_leading(operation, [operations[x.entry].layouts[x.output] for x in operation.args])
                    nodes[ref] = operation.function.node(model.rules, [nodes[x] for x in operation.args])
                    nodes[ref].name = operation.path
                else:
                    nodes[ref] = _node(Call(operation, constants, nodes), j, layout.shape)
    last, refs = [], [x for x in outputs if isinstance(x, Ref)]
    for k, x in enumerate(outputs):
        if x is None and refs:
            continue
        if not isinstance(x, Ref):
            what = "the model's output" if len(outputs) == 1 else f"output {k} of the model"
            raise TypeError(f"model: {what}, {type(x).__name__}, does not depend on its input; return it apart")
        last.append(nodes[x])
    layouts = [operations[ref.entry].layouts[ref.output] for ref in refs]

    def rebuild(values: Sequence[Tensor], single: bool) -> Any:
        pairs = zip(layouts, values, strict=True)
        found = iter([x[0] if single else layout.native(x) for layout, x in pairs])
        return pytree.tree_unflatten([None if x is None else next(found) for x in outputs], tree)

    def parts(out: Any, rows: int) -> list[Tensor]:
        found = [x for x in pytree.tree_leaves(out) if x is not None]
        return [layout.rows(x, rows) for layout, x in zip(layouts, found, strict=True)]

    same_rows = SAME_ROWS.get(mu.dtype, 1e-4)
    return Graph(
        inputs, last, rebuild, numbers, partial(_rows, mu), custom, torch, same_rows=same_rows, parts=parts
    )


def _check_leading(operation: Operation, layouts: Sequence[Layout]) -> None:
    """Raise unless a module that has a rule is given the batch in the first axis, alone."""
    if not all(layout.leads and layout.inner == 1 for layout in (*operation.layouts, *layouts)):
        raise ValueError(
            f"{operation.path}: its rule is one for (batch, ...), but the batch is in another axis of what it is "
            "given or returns, or joined with others"
        )


def _node(call: Call, output: int, shape: tuple[int, ...]) -> Node:
    """The node of one result of an operation."""
    found = joint_of(call, output)
    if found is not None:
        return found
    name, inputs = call.name, call.inputs
    if name == DROPOUT:
        return dropout_of(call, shape)
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
        # a part, perhaps, of a function that `rewrite` knows as a whole
        message = f"{name} has no rule; {HINTS.get(name, ADVICE)}"
        return Node(Unknown(call.map(output), message), inputs, shape, call.operation.path)
    learned = scalar is not None and call.learned()
    return Node(rule, inputs, shape, call.label, scalar, learned)


def _is_elementwise(call: Call) -> bool:
    """Whether a choice depends on values of the network."""
    return call.is_input("condition") or call.is_input("mask")


def numbers(function: Any, x: Any) -> Any:
    """A scalar function's values of NumPy's numbers."""
    with torch.no_grad():
        found = array_of(function(torch.from_numpy(np.ascontiguousarray(x))).double())
    if found is None:
        raise TypeError("model: a function of several operations has no rule where torch.func tracks its constants")
    return found


def _rows(like: Tensor, function: Any, x: Any) -> Any:
    """The values of a map of rows at NumPy's numbers; None if they have derivatives."""
    return array_of(function(torch.from_numpy(x).to(like.device, like.dtype)).double())


def custom(function: Any) -> Any:
    """A scalar function of tensors as `fm.Custom` takes it."""
    return lambda x: numbers(function, x)
