"""The operations of a model for any number of rows, which two runs of it, of two and of three rows, agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastmoments.graph.frontends.torch_entries import Entry, Ref, refs_of

ROWS = (2, 3)  # of the two runs
# Products of which every row of the result comes from a row of one argument: its position
ROW_BY_ROW = {"mm": 0, "addmm": 1, "convolution": 0}
CLOSE = {torch.float64: 1e-8}  # products of other sizes round otherwise
DIFFERS = (
    "{}: {}: a number or a constant differs from one run of the model to the next: it is random, a value of the "
    "input, or kept from an earlier call; make it a parameter or a buffer"
)
MIXES = "{}: {}: it mixes the batch's dimension, the first, with others; the rows of a batch must not meet"


class Sized(NamedTuple):
    """An integer: constant + each * rows."""

    constant: int
    each: int


class Layout(NamedTuple):
    """Where a tensor of many rows has them: in a dimension, with elements outside and inside of them.

    `sizes` are those of the tensor, of which the dimension has outer * rows * inner. As rows the tensor has the
    shape (rows, *shape).
    """

    sizes: tuple[int, ...]
    dim: int
    outer: int
    inner: int

    @property
    def leads(self) -> bool:
        """Whether the rows come first."""
        return self.dim == 0 and self.outer == 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row; rows that are a dimension of their own are none of it."""
        before, behind = self.sizes[: self.dim], self.sizes[self.dim + 1 :]
        own = self.outer * self.inner
        return (*before, *((own,) if own != 1 else ()), *behind)

    def native(self, x: Tensor) -> Tensor:
        """The tensor as the model has it, of (rows, *shape)."""
        if self.leads and self.inner == 1:
            return x
        before, behind, rows = self.sizes[: self.dim], self.sizes[self.dim + 1 :], len(x)
        x = x.reshape(rows, *before, self.outer, self.inner, *behind).movedim(0, self.dim + 1)
        return x.reshape(*before, self.outer * rows * self.inner, *behind)

    def rows(self, x: Tensor, rows: int) -> Tensor:
        """(rows, *shape) of the tensor as the model has it."""
        before, behind = self.sizes[: self.dim], self.sizes[self.dim + 1 :]
        if not self.leads:
            x = x.reshape(*before, self.outer, rows, self.inner, *behind).movedim(self.dim + 1, 0)
        return x.reshape(rows, *self.shape)


@dataclass
class Operation:
    """One operation for any number of rows: an Entry whose integers may be Sized, and its results' layouts."""

    function: Any
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    names: tuple[str, ...]
    path: str
    depends: bool
    sized: bool
    layouts: list[Any]  # a Layout, or None where nothing reads the result
    dtypes: list[Any]


def taken(x: Tensor) -> Tensor:
    """The rows of the second run's value (3 k, ...) that the first run has: the second example and the first.

    Neither a shift of rows, a reversal nor a sum over rows before or behind goes unnoticed in this order.
    """
    if len(x) == ROWS[1]:
        return x[: ROWS[0]].flip(0)
    return x.reshape(ROWS[1], -1, *x.shape[1:])[: ROWS[0]].flip(0).reshape(-1, *x.shape[1:])


def product_of(earlier: list[Entry], k: int, name: str, args: Any) -> Tensor | None:
    """The result of operation k, a product by constants, if the run of more rows made it of the same ones."""
    at = ROW_BY_ROW[name]
    if k >= len(earlier) or earlier[k].name != name or not isinstance(earlier[k].args[at], Ref):
        return None
    ref, x = earlier[k].args[at], args[at]
    before = earlier[ref.entry].values[ref.output]
    if len(before) * ROWS[0] != len(x) * ROWS[1] or not torch.equal(taken(before), x):
        return None
    return taken(earlier[k].values[0])


def operations_of(two: list[Entry], three: list[Entry], outputs: list[Any]) -> list[Operation | None]:
    """Return the operations that both runs have; raise where they differ or rows meet.

    Operations of which the outputs do not depend, those of hooks that look on, are None.
    """
    found: list[Operation | None] = []
    needed = _needed(three, outputs)
    entries = {ref.entry for ref in needed}
    for k in range(max(len(two), len(three))):
        pair = [run[k] if k < len(run) else None for run in (two, three)]
        one, other = pair
        if (
            one is None
            or other is None
            or one.function != other.function
            or one.kwargs.keys() != other.kwargs.keys()
        ):
            path = next(entry.path for entry in pair if entry is not None)
            raise TypeError(
                f"{path}: the model takes another way for three inputs than for two: what it does depends on the "
                "batch's size or on values of its input, it is random, or it keeps what its first call computes: "
                "call it once before"
            )
        found.append(_operation(one, other, found, needed, k) if k in entries else None)
        # not needed any more; they would be kept by cycles, for their tensors know the run
        one.values = other.values = []
    return found


def _needed(entries: list[Entry], outputs: list[Any]) -> set[Ref]:
    """The results that the outputs depend on, and the inputs."""
    needed = set(refs_of(outputs)) | {Ref(k, 0) for k, entry in enumerate(entries) if entry.function is None}
    read = {ref.entry for ref in needed}
    for k in range(len(entries) - 1, -1, -1):
        if k in read:
            found = refs_of((entries[k].args, entries[k].kwargs))
            needed.update(found)
            read.update(ref.entry for ref in found)
    return needed


def _operation(one: Entry, other: Entry, before: list[Any], needed: set[Ref], k: int) -> Operation:
    where = one.path, one.name
    args, kwargs = (_merged(where, *pair) for pair in ((one.args, other.args), (one.kwargs, other.kwargs)))
    sized = any(_is_sized(x, before) for x in (*args, *kwargs.values()))
    layouts: list[Layout | None] = []
    if one.depends:
        inherited = [
            before[ref.entry].layouts[ref.output] for ref in refs_of((args, kwargs)) if _known(ref, before)
        ]
        pairs = enumerate(zip(one.values, other.values, strict=True))
        layouts = [_layout(where, *pair, inherited) if Ref(k, j) in needed else None for j, pair in pairs]
    dtypes = [getattr(value, "dtype", None) for value in one.values]
    return Operation(one.function, one.name, args, kwargs, one.names, one.path, one.depends, sized, layouts, dtypes)


def _known(ref: Ref, before: list[Any]) -> bool:
    return bool(before[ref.entry].depends)


def _is_sized(value: Any, before: list[Any]) -> bool:
    if isinstance(value, Ref):
        return bool(before[value.entry].sized)
    if isinstance(value, Sized):
        return True
    return isinstance(value, list | tuple) and any(_is_sized(x, before) for x in value)


def _merged(where: tuple[str, str], one: Any, other: Any) -> Any:
    """One argument of both runs."""
    if isinstance(one, dict):
        return {key: _merged(where, one[key], other[key]) for key in one}
    if type(one) is not type(other):
        raise TypeError(DIFFERS.format(*where))
    if isinstance(one, list | tuple) and not isinstance(one, Ref):
        if len(one) != len(other):
            raise TypeError(DIFFERS.format(*where))
        return [_merged(where, *pair) for pair in zip(one, other, strict=True)]
    if isinstance(one, Tensor):
        if one is not other and not (one.shape == other.shape and torch.equal(one, other)):
            raise TypeError(DIFFERS.format(*where))
        return one
    if type(one) is int and one != other:
        each = other - one
        return Sized(one - ROWS[0] * each, each)
    if isinstance(one, torch.ScriptObject):  # packed weights, which cannot be compared and have no rule
        return one
    if one != other and not (one != one and other != other):  # two nan are the same
        raise TypeError(DIFFERS.format(*where))
    return one


def _layout(where: tuple[str, str], one: Tensor, other: Tensor, inherited: list[Layout]) -> Layout:
    """Where the rows are: where both runs have the same values of the same examples."""
    differ = [d for d, (m, n) in enumerate(zip(one.shape, other.shape, strict=False)) if m != n]
    if (
        one.ndim != other.ndim
        or len(differ) != 1
        or ROWS[1] * one.shape[differ[0]] != ROWS[0] * other.shape[differ[0]]
    ):
        raise ValueError(MIXES.format(*where))
    dim = differ[0]
    own = one.shape[dim] // ROWS[0]
    layouts = [Layout(tuple(one.shape), dim, k, own // k) for k in range(1, own + 1) if own % k == 0]
    likely = [(layout.dim, layout.outer, layout.inner) for layout in inherited]
    layouts.sort(key=lambda layout: (layout.dim, layout.outer, layout.inner) not in likely)  # stable
    for layout in layouts:
        rows, wanted = layout.rows(one, ROWS[0]), taken(layout.rows(other, ROWS[1]))
        if close(rows, wanted):
            return layout
    raise ValueError(MIXES.format(*where))


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two values are the same but for rounding."""
    if torch.equal(one, other):
        return True
    if one.is_floating_point() and one.numel():
        scale = float(other.nan_to_num(0.0, 0.0, 0.0).abs().max())
        return torch.allclose(one, other, rtol=0.0, atol=CLOSE.get(one.dtype, 1e-3) * scale, equal_nan=True)
    return False
