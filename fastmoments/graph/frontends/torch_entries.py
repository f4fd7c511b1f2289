"""The record of a run of a model: one entry an operation, which refers to the results of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from fastmoments.graph.frontends.torch_memory import Memory
from fastmoments.graph.nodes import Node, replaced

# Operations that write to an argument in training alone, of which nothing gets here
ONLY_IN_TRAINING = ("rrelu_with_noise", "_native_batch_norm_legit", "cudnn_batch_norm", "miopen_batch_norm")
# Operations that make a tensor like another: what it is filled with, or the argument that says so
FACTORIES: dict[str, Any] = {"zeros_like": 0.0, "ones_like": 1.0, "empty_like": 0.0, "full_like": 1}
FACTORIES |= {"new_zeros": 0.0, "new_ones": 1.0, "new_empty": 0.0, "new_full": 2, "empty_strided": 0.0}
FACTORIES |= {"new_empty_strided": 0.0, "empty": 0.0}


class Facts(NamedTuple):
    """ATen's account of an operation: names of its arguments, and whether it writes, draws, looks or moves."""

    name: str
    names: tuple[str, ...]
    writes: bool
    draws: bool
    looks: bool
    moves: bool


@cache
def facts_of(func: Any) -> Facts:
    """The facts of an operation, which take microseconds to look up."""
    schema, tags, name = func._schema, func.tags, func.overloadpacket.__name__
    # of other sets of operations the names mean something else
    name = name if func.namespace == "aten" else f"{func.namespace}.{name}"
    names = tuple(argument.name for argument in schema.arguments)
    looks = torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags
    looks = looks or name in ("_local_scalar_dense", "equal", "is_nonzero")
    draws, moves = torch.Tag.nondeterministic_seeded in tags, torch.Tag.inplace_view in tags
    return Facts(name, names, schema.is_mutable, draws, looks, moves)


def is_still(facts: Facts, args: Any) -> bool:
    """Whether an operation that may draw random numbers does not, by its arguments."""
    if facts.name == "rrelu_with_noise":
        return bool(args[4:5] != (True,))
    # ATen leaves out what is 0
    return "dropout_p" in facts.names and not any(args[facts.names.index("dropout_p") :][:1])


def functional(func: Any, name: str) -> Any:
    """The operation of that name that returns what the in-place operation writes; None if there is none."""

    def types(function: Any) -> list[str]:
        return [str(argument.type) for argument in function._schema.arguments]

    packet = getattr(torch.ops.aten, name, None)
    overloads = () if packet is None else (getattr(packet, overload) for overload in packet.overloads())
    # overloads of the same arguments may have other names
    return next((function for function in overloads if types(function) == types(func)), None)


class RefusalError(Exception):
    """An error of ours inside the model: Python swallows TypeErrors inside operators."""

    def __init__(self, kind: type[Exception], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Ref(NamedTuple):
    """A result of an earlier entry."""

    entry: int
    output: int


@dataclass(eq=False)
class Leaf:
    """A module that has a rule of its own, in place of a function: the node that it made of others.

    Inside torch.func, whose parameters have no derivatives while the model runs, there is none yet.
    """

    module: nn.Module
    made: Node | None
    sources: list[Node]
    parameters: list[Tensor]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaf) and self.module is other.module

    def node(self, rules: Mapping[nn.Module, Callable[..., Node]], inputs: Sequence[Node]) -> Node:
        """The node of the module for these inputs."""
        if self.made is not None:
            return replaced(self.made, dict(zip(self.sources, inputs, strict=True)))
        if any(one is not two for one, two in zip(self.module.parameters(), self.parameters, strict=True)):
            raise TypeError(
                f"model: torch.func replaces parameters of {type(self.module).__name__}, which has a rule of its "
                "own, for which there is no way; use torch.autograd"
            )
        return rules[self.module](self.module, *inputs)


@dataclass
class Entry:
    """One operation: its function, its arguments with Refs for recorded tensors, and its results' values.

    `names` are those of the positional arguments.
    """

    function: Any
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    path: str
    depends: bool
    values: list[Any]
    names: tuple[str, ...] = ()


@dataclass
class Mark:
    """A tensor's value as a Ref, and the memory that it looks at, up to which write."""

    run: object
    ref: Ref
    memory: Memory
    depends: bool
    seen: int


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors in nested arguments."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for x in value for tensor in ((x,) if isinstance(x, Tensor) else tensors_of(x))]


def array_of(tensor: Tensor) -> Any:
    """The tensor as NumPy's array, also inside torch.func; None if it has derivatives, or is a batch of vmap's."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if tensor.requires_grad or functorch.is_batchedtensor(tensor):
            return None
        tensor = functorch.get_unwrapped(tensor)
    if tensor.requires_grad:
        return None
    with temporarily_clear_interpreter_stack():
        return tensor.numpy(force=True)


def refs_of(value: Any) -> list[Ref]:
    """All Refs in nested arguments."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, dict):
        return refs_of(list(value.values()))
    if not isinstance(value, list | tuple):
        return []
    return [ref for x in value for ref in (refs_of(x) if isinstance(x, tuple | list | dict) else ())]
