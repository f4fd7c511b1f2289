"""The steps that `propagate` would take with a model: `describe` lists them, and says what each keeps exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastmoments.dispatch import Plan
from fastmoments.frameworks import words_of
from fastmoments.graph.inputs import inputs_of
from fastmoments.graph.models import graph_of
from fastmoments.graph.nodes import Activation, Affine, Graph, Input, Joint, Node, Rule, Shape, Sum
from fastmoments.graph.options import check_rules
from fastmoments.graph.order import Step, steps_of, with_kept
from fastmoments.graph.rewrite import rewrite
from fastmoments.hints import explained
from fastmoments.parameters import name_of, of_neurons

KINDS: dict[type, str] = {Input: "input", Affine: "affine", Sum: "sum"}
TITLES = ("step", "value", "kind", "shape", "moments", "")


class Value(NamedTuple):
    """One value of a network: the step that makes it, its name, its kind, its shape and how its moments come.

    `kind` is "input", "affine", "sum", or the name of an activation or of a function of several values. `moments`
    is "given", "exact", "exact to" a tolerance or "closure". `note` says which values meet in it, how many are
    computed together, what the function approximates, with which other values covariances are by slopes alone, and
    that `cumulants=True` knows no third and fourth cumulants of the function's own, and passes on the inputs'.
    """

    step: int
    name: str
    kind: str
    shape: Shape
    moments: str
    note: str


class Description(NamedTuple):
    """The values of a network in the order in which they are computed.

    `largest` is the value with most features, and `bytes` the size of its covariance, for the whole batch.
    """

    plan: Plan
    rows: int
    single: bool
    values: list[Value]
    largest: Value
    bytes: int

    def __str__(self) -> str:
        batch = "one input" if self.single else f"a batch of {self.rows}"
        lines = [TITLES, *((str(v.step), v.name, v.kind, str(v.shape), v.moments, v.note) for v in self.values)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        head = f"{self.plan.framework} arrays on {self.plan.device}, computed in {self.plan.compute}, {batch}"
        peak = f"largest: {self.largest.name}, {self.largest.shape}, with a covariance of {_size(self.bytes)}"
        return "\n".join([head, *table, peak])


@explained
def describe(
    model: Any, mu: Any, cov: Any = None, *, rules: Mapping[type, Callable[..., Any]] | None = None
) -> Description:
    """List what `propagate` would compute for a model and an input, without computing it.

    Parameters
    ----------
    model : a model as `propagate` takes it.
    mu : array or arrays as `propagate` takes them, (n,) for one input or (batch, ...); only shapes count.
    cov : the covariance, which tells one input of several dimensions from a batch; None for vectors and batches.
    rules : rules of your own, as for `propagate`.

    Returns
    -------
    Description
        `values` in order, the `largest` of them and the `bytes` of its covariance; printed, it is a table. Values
        of one step are activations that are computed together, with all covariances between them. `moments` are

        * "exact" : affine maps and sums given their inputs, and activations of Gaussian values;
        * "exact to 1e-10" : such activations by series or quadrature to that tolerance;
        * "closure" : functions of values that are not Gaussian, and count as Gaussian here, or that have no closed
          form; then the note says what is approximated, and by how much where the input is Gaussian.

    Raises
    ------
    TypeError, ValueError : as `propagate` does, for models and inputs that it refuses.

    Examples
    --------
    >>> import numpy as np, fastmoments as fm
    >>> first = fm.compare.Residual("relu", np.eye(2), C="identity")
    >>> second = fm.compare.Residual("tanh", np.ones((3, 2)))
    >>> print(fm.describe([first, second], np.zeros((5, 2))))
    numpy arrays on cpu, computed in float64, a batch of 5
    step  value         kind    shape  moments
    0     input         input   (2,)   given
    1     layers[0]: A  affine  (2,)   exact
    2     layers[0]: f  relu    (2,)   exact
    3     layers[0]     sum     (2,)   exact    of layers[0]: f and input
    4     layers[1]: A  affine  (3,)   exact
    5     layers[1]: f  tanh    (3,)   closure
    largest: layers[1]: A, (3,), with a covariance of 360 bytes
    """
    check_rules(rules or {})
    inputs = inputs_of(model, mu, cov, None if cov is None else "full")
    with words_of(inputs.plan).arithmetic(inputs.plan):
        graph = rewrite(graph_of(model, inputs, rules or {}), whole_sums=False)
    nodes, values = _values(graph)
    largest = max(range(len(nodes)), key=lambda k: nodes[k].size)
    size = inputs.rows * nodes[largest].size ** 2 * inputs.means[0].itemsize
    return Description(inputs.plan, inputs.rows, inputs.single, values, values[largest], size)


def _values(graph: Graph) -> tuple[list[Node], list[Value]]:
    nodes, values, gaussian = [], [], dict[Node, bool]()
    steps = steps_of(graph)
    for number, (step, kept) in enumerate(with_kept(steps, graph.inputs, graph.outputs)):
        for node in step:
            before = all(gaussian[source] for source in node.inputs)
            rule, bends = node.rule, isinstance(node.rule, Activation | Joint)
            # products with random weights are not Gaussian
            gaussian[node] = before and not bends and getattr(rule, "own", None) is None
            nodes.append(node)
            others = [other.name for other in nodes if other in kept and not gaussian[other]] if bends else []
            note = _note(node, step, list(dict.fromkeys(others)))
            values.append(Value(number, node.name, _kind(rule), node.shape, _moments(rule, before), note))
    return nodes, values


def _kind(rule: Rule) -> str:
    if isinstance(rule, Joint):
        return rule.function.name
    return name_of(rule.activation) if isinstance(rule, Activation) else KINDS[type(rule)]


def _moments(rule: Rule, of_gaussian: bool) -> str:
    if isinstance(rule, Input):
        return "given"
    if not isinstance(rule, Activation | Joint):
        return "exact"
    if not of_gaussian or (isinstance(rule, Joint) and rule.function.closure):
        return "closure"
    # of an activation, or of the one that a joint function has
    activation = rule.activation if isinstance(rule, Activation) else getattr(rule.function, "activation", None)
    name, _ = (activation, {}) if activation is None else of_neurons(activation)
    tol = getattr(name, "tol", None)
    return "exact" if tol is None else f"exact to {tol:g}"


def _note(node: Node, step: Step, by_slopes: list[str]) -> str:
    sources = dict.fromkeys(source.name for source in node.inputs)
    parts = [f"of {' and '.join(sources)}"] if len(sources) > 1 else []
    if len(step) > 1:
        parts = [f"one of {len(step)} together"]
    if isinstance(node.rule, Joint) and node.rule.function.closure:
        parts.append(node.rule.function.closure)
    if by_slopes:
        shown = by_slopes if len(by_slopes) < 4 else [*by_slopes[:2], f"{len(by_slopes) - 2} more"]
        parts.append(f"by slopes beside {', '.join(shown)}")
    if isinstance(node.rule, Joint) or getattr(node.rule, "own", None) is not None:
        parts.append("no own cumulants")
    return "; ".join(parts)


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 2**20 else f"{count / 2**20:,.0f} MB"
