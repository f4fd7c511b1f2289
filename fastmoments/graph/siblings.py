"""Activations of one step: those that are the same function are computed as one."""

from dataclasses import fields
from typing import Any

from fastmoments.graph.nodes import Activation, Node
from fastmoments.graph.order import Step
from fastmoments_kernels.custom import Custom


def groups_of(step: Step) -> list[list[Node]]:
    """Return the step's nodes, those of the same function together."""
    groups: list[list[Node]] = []
    for node in step:
        group = next((group for group in groups if _same(_activation(group[0]), _activation(node))), None)
        if group is None:
            groups.append([node])
        else:
            group.append(node)
    return groups


def _activation(node: Node) -> Any:
    assert isinstance(node.rule, Activation)
    return node.rule.activation


def _same(one: Any, two: Any) -> bool:
    """Whether two activations are the same function of every neuron: numbers, or the same parameter for all."""
    if one is two or isinstance(one, str | Custom):
        return bool(one == two)
    if type(one) is not type(two):
        return False
    pairs = [(getattr(one, field.name), getattr(two, field.name)) for field in fields(one)]
    return all(_is_one_number(a) and (a is b or _are_equal_numbers(a, b)) for a, b in pairs)


def _is_one_number(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 0


def _are_equal_numbers(one: Any, two: Any) -> bool:
    return isinstance(one, int | float | tuple) and type(one) is type(two) and bool(one == two)
