"""Functions of one step: those that are the same are computed as one, with all covariances between them."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from fastmoments.graph.nodes import Activation, Joint, Node
from fastmoments.graph.order import Step
from fastmoments.joint.gates import Gate
from fastmoments.joint.products import Product
from fastmoments.joint.values import ValueFunction
from fastmoments_kernels.custom import Custom


def groups_of(step: Step) -> list[list[Node]]:
    """Return the activations of a step, those of the same function together."""
    return _grouped(step, lambda one, two: same_activation(_activation(one), _activation(two)))


def joint_groups_of(step: Step) -> list[list[Node]]:
    """Return the joint functions of a step, those together of which one can be made."""

    def join(one: Node, two: Node) -> bool:
        f, g = _joint(one), _joint(two)
        if isinstance(f, Gate) and isinstance(g, Gate):
            return same_activation(f.activation, g.activation)
        return isinstance(f, Product) and isinstance(g, Product)

    return _grouped(step, join)


def joined(nodes: Sequence[Node]) -> ValueFunction:
    """Return one function of the inputs of several, one behind the other."""
    functions = [_joint(node) for node in nodes]
    first, sizes = functions[0], [node.inputs[-1].size for node in nodes]
    if not isinstance(first, Gate) or len(nodes) == 1:
        return first
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [f.at + start for f, start in zip(functions, starts, strict=True) if isinstance(f, Gate)]
    return Gate(first.activation, np.concatenate(parts))


def _grouped(step: Step, join: Callable[[Node, Node], bool]) -> list[list[Node]]:
    groups: list[list[Node]] = []
    for node in step:
        group = next((group for group in groups if join(group[0], node)), None)
        if group is None:
            groups.append([node])
        else:
            group.append(node)
    return groups


def _joint(node: Node) -> ValueFunction:
    assert isinstance(node.rule, Joint)
    return node.rule.function


def _activation(node: Node) -> Any:
    assert isinstance(node.rule, Activation)
    return node.rule.activation


def same_activation(one: Any, two: Any) -> bool:
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
