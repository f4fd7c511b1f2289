"""Models as `fm.propagate` runs them at many points."""

from fastmoments.checked.runs import runner_of
from fastmoments.graph.inputs import inputs_of
from fastmoments.graph.propagate import graph_of


def run_of(model, mu, rules=None, graph=True):
    """What runs the model at points around mu, by its graph as it is recorded or without one."""
    inputs, rules = inputs_of(model, mu, None, None), rules or {}
    return runner_of(model, inputs, graph_of(model, inputs, rules) if graph else None, rules)
