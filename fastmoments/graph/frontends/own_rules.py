"""Rules that users give to parts of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastmoments.graph.nodes import Node

Rule = Callable[..., Node]  # of a part of the model and nodes of its inputs


def rule_of(part: Any, rules: Mapping[type, Rule]) -> Rule | None:
    """Return the rule of `rules`, or the method `__fastmoments__` of the part's class."""
    found = next((rules[base] for base in type(part).__mro__ if base in rules), None)
    return found or getattr(type(part), "__fastmoments__", None)
