"""What a run of a model leaves behind: one entry an operation, which refers to the results of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn


class RefusalError(Exception):
    """An error of ours inside the model: Python swallows TypeErrors inside operators."""

    def __init__(self, kind: type[Exception], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Ref(NamedTuple):
    """A result of an earlier entry."""

    entry: int
    output: int


class Leaf(NamedTuple):
    """A module that has a rule of its own, in place of a function."""

    module: nn.Module


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


class Earlier(NamedTuple):
    """The entries of another run, and the rows of each of its values that the present run has, out of how many."""

    entries: list[Entry]
    rows: tuple[int, ...]
    of: int


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors in nested arguments."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for x in value for tensor in tensors_of(x)]


def refs_of(value: Any) -> list[Ref]:
    """All Refs in nested arguments."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, dict):
        return refs_of(list(value.values()))
    return [ref for x in value for ref in refs_of(x)] if isinstance(value, list | tuple) else []
