"""Recorded operations as functions of rows, and the constants among them, computed when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastmoments.graph.frontends.torch_entries import Ref, refs_of, tensors_of
from fastmoments.graph.frontends.torch_runs import Operation, Sized
from fastmoments.graph.nodes import Map, Node

Change = Callable[[Any], Any]

# A view of one geometry may not be one of another: values come in any strides
BY_VALUE = {
    torch.ops.aten.view.default: torch.reshape,
    torch.ops.aten._unsafe_view.default: torch.reshape,
    torch.ops.aten._reshape_alias.default: lambda x, shape, stride: torch.reshape(x, shape),
    torch.ops.aten.copy.default: lambda to, x, *rest: x.expand(to.shape).to(to.dtype),
}


class _Given(NamedTuple):
    """The value of an input of the operation."""

    position: int


class _Changed(NamedTuple):
    """A constant argument that is changed before use."""

    template: Any
    change: Change


class Constants:
    """Results of operations that do not depend on the model's input, with gradients to its parameters."""

    def __init__(self, operations: Sequence[Any]) -> None:
        self.operations, self.known = operations, dict[tuple[int, int, bool], Any]()

    def value(self, ref: Ref, rows: int) -> Any:
        """The constant for so many rows."""
        operation = self.operations[ref.entry]
        # what is computed without gradients must not be used with them
        key = ref.entry, rows if operation.sized else 0, torch.is_grad_enabled()
        if key not in self.known:
            function = BY_VALUE.get(operation.function, operation.function)
            args, kwargs = (resolve(x, rows, (), self) for x in (operation.args, operation.kwargs))
            self.known[key] = function(*args, **kwargs)
        found = self.known[key]
        return found[ref.output] if isinstance(found, list | tuple) else found


def resolve(template: Any, rows: int, given: Sequence[Tensor], constants: Constants) -> Any:
    """An argument for so many rows."""
    if isinstance(template, Ref):
        return constants.value(template, rows)
    if isinstance(template, _Given):
        return given[template.position]
    if isinstance(template, _Changed):
        return template.change(resolve(template.template, rows, given, constants))
    if isinstance(template, Sized):
        return template.constant + template.each * rows
    if isinstance(template, dict):
        return {key: resolve(x, rows, given, constants) for key, x in template.items()}
    if isinstance(template, list | tuple):
        return [resolve(x, rows, given, constants) for x in template]
    return template


class Call:
    """An operation whose inputs are nodes, as a table of rules sees it."""

    def __init__(self, operation: Operation, constants: Constants, nodes: dict[Ref, Node]) -> None:
        self.operation, self.constants = operation, constants
        self.name, self.label = operation.name, f"{operation.path}: {operation.name}"
        refs = [ref for ref in refs_of((operation.args, operation.kwargs)) if ref in nodes]
        self.inputs = tuple(nodes[ref] for ref in refs)
        self.layouts = [constants.operations[ref.entry].layouts[ref.output] for ref in refs]
        self.dtypes = [constants.operations[ref.entry].dtypes[ref.output] for ref in refs]
        self.args, self.kwargs = _numbered((list(operation.args), operation.kwargs), iter(range(len(refs))), nodes)
        self.positions = dict(zip(operation.names, range(len(self.args)), strict=False))

    def spread_inputs(self) -> None:
        """Take inputs that broadcast to the result as they are in its shape."""
        out = self.operation.layouts[0]
        self.layouts = [layout if layout.shape == out.shape else out for layout in self.layouts]

    def argument(self, name: str, default: Any = None) -> Any:
        """The template of an argument by its name in ATen's schema."""
        if name in self.positions:
            return self.args[self.positions[name]]
        return self.kwargs.get(name, default)

    def constant(self, name: str, default: Any = None, rows: int = 1) -> Any:
        """The value of an argument that does not depend on the input, for so many rows."""
        return resolve(self.argument(name, default), rows, (), self.constants)

    def is_input(self, name: str) -> bool:
        """Whether an argument is an input of the operation, or has one."""
        return _has_input(self.argument(name))

    def map(self, output: int, given: dict[str, Any] | None = None, /, **changes: Any) -> Map:
        """The operation as a function of rows of its inputs.

        Constant arguments may be changed, by name; others that are `given` are those of the schema.
        """
        args = [
            _changed(x, changes[name]) if name in changes else x
            for x, name in zip(self.args, self.operation.names or [""] * len(self.args), strict=False)
        ]
        kwargs = {name: _changed(x, changes[name]) if name in changes else x for name, x in self.kwargs.items()}
        kwargs |= given or {}
        layouts, out, constants = self.layouts, self.operation.layouts[output], self.constants
        function = BY_VALUE.get(self.operation.function, self.operation.function)

        def value(*rows: Tensor) -> Any:
            count = len(rows[0])
            given = [layout.native(x) for layout, x in zip(layouts, rows, strict=True)]
            found = function(*resolve(args, count, given, constants), **resolve(kwargs, count, given, constants))
            return out.rows(found[output] if isinstance(found, list | tuple) else found, count)

        return value

    def scalar(self) -> Map | None:
        """The operation on numbers, (m,) in float64; None if a constant has several elements."""
        refs = list(refs_of((self.args, self.kwargs)))
        constants = [self.constants.value(ref, 1) for ref in refs] + tensors_of((self.args, self.kwargs))
        if any(isinstance(x, Tensor) and not _is_one_number(x) for x in constants):
            return None
        function = self.operation.function

        def value(*given: Tensor) -> Any:
            # conditions may be asked for numbers of any kind
            numbers = [
                x if dtype.is_floating_point else x.to(dtype) for x, dtype in zip(given, self.dtypes, strict=True)
            ]
            args, kwargs = (resolve(x, 1, numbers, self.constants) for x in (self.args, self.kwargs))
            found: Any = function(*_as_numbers(args, numbers), **_as_numbers(kwargs, numbers))
            return found[0] if isinstance(found, tuple) else found

        return value

    def learned(self) -> bool:
        """Whether a constant has a gradient."""
        if not torch.is_grad_enabled():
            return False
        constants = [self.constants.value(ref, 1) for ref in refs_of((self.args, self.kwargs))]
        return any(getattr(x, "requires_grad", False) for x in (*constants, *tensors_of((self.args, self.kwargs))))


def _is_one_number(x: Tensor) -> bool:
    """Whether all elements are alike, and can be read."""
    if x.numel() < 2 or torch._C._functorch.is_functorch_wrapped_tensor(x):
        return x.numel() == 1
    return bool((x == x.reshape(-1)[0]).all())


def _numbered(x: Any, positions: Iterator[int], nodes: Mapping[Ref, Node]) -> Any:
    """Nested arguments with the positions of the operation's inputs, in their order."""
    if isinstance(x, Ref):
        return _Given(next(positions)) if x in nodes else x
    if isinstance(x, dict):
        return {key: _numbered(value, positions, nodes) for key, value in x.items()}
    if type(x) in (list, tuple):
        return [_numbered(value, positions, nodes) for value in x]
    return x


def _has_input(x: Any) -> bool:
    return isinstance(x, _Given) or (type(x) in (list, tuple) and any(map(_has_input, x)))


def _changed(x: Any, change: Change) -> Any:
    """The template with its constants changed, and the operation's inputs as they are."""
    if isinstance(x, _Given):
        return x
    return [_changed(y, change) for y in x] if type(x) in (list, tuple) else _Changed(x, change)


def _as_numbers(x: Any, given: Sequence[Tensor]) -> Any:
    """Constants as numbers in float64, so that they round no value."""
    if isinstance(x, dict):
        return {key: _as_numbers(y, given) for key, y in x.items()}
    if isinstance(x, list | tuple):
        return [_as_numbers(y, given) for y in x]
    if isinstance(x, Tensor) and not any(x is y for y in given):
        return x.detach().to(given[0].device, torch.float64 if x.is_floating_point() else x.dtype).reshape(-1)[0]
    return x
