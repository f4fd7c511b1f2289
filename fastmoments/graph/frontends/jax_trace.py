"""The jaxpr of a function, equation by equation: what depends on its inputs becomes nodes, all else is computed.

Nodes' functions map rows of examples by `jax.vmap` of an equation's primitive. Constants may be tracers of jit and
grad. Only those that are not are numbers. Functions of the inputs that have custom derivatives are read through:
moments have derivatives of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, Literal

from fastmoments.graph.nodes import Affine, Map, Node

Values = list[Any]  # of variables: nodes, and arrays that do not depend on the inputs

CALLS = """jit pjit call custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr closed_call core_call remat2 remat
    checkpoint""".split()
DRAWS = ("random_bits", "random_gamma", "threefry", "rng_")
TRACED = "{}: jit, grad or vmap traces {}, which must be a number here; make it outside of them, or with NumPy"


class Equation:
    """An equation some of whose inputs are nodes, as a table of rules sees it.

    `values` has a node or a constant for every input, `inputs` the nodes alone. `label` is its name for errors.
    """

    def __init__(self, equation: Any, values: Values) -> None:
        self.primitive, self.params, self.values = equation.primitive, equation.params, values
        self.name, self.label = equation.primitive.name, label_of(equation)
        self.at = [k for k, value in enumerate(values) if isinstance(value, Node)]
        self.inputs = tuple(values[k] for k in self.at)
        self.shapes = [tuple(variable.aval.shape) for variable in equation.outvars]
        self.dtypes = [variable.aval.dtype for variable in equation.invars]

    @property
    def reads(self) -> str:
        """The names of the nodes that it reads."""
        return names_of(self.inputs)

    def map(self, output: int = 0, change: Callable[[Any], Any] = lambda constant: constant) -> Map:
        """The equation as a function of rows of its inputs, with constants that may be changed."""

        def of_one(*given: Any) -> Any:
            rows = dict(zip(self.at, given, strict=True))
            return self._bound([rows[k] if k in rows else change(x) for k, x in enumerate(self.values)])[output]

        return jax.vmap(of_one)

    def number(self, at: int) -> Any:
        """The constant at a position if all its elements are the same: a float, or a tracer. Else None."""
        value = self.values[at]
        if isinstance(value, jax.core.Tracer):
            return value.reshape(()) if value.size == 1 else None
        elements = np.asarray(value).ravel()
        if not elements.size or (elements != elements[0]).any():
            return None
        return elements[0].item()

    def known_number(self, at: int) -> float | None:
        """The number at a position, of which a rule needs the value."""
        number = self.number(at)
        if isinstance(number, jax.core.Tracer):
            raise TypeError(TRACED.format(self.label, "its constant"))
        known: float | None = number
        return known

    def scalar(self) -> Map | None:
        """The equation on numbers, (m,) of any floating dtype; None if a constant has different elements.

        It raises if a constant is traced: no number would tell which function it is, and where it has kinks.
        """
        constants = [None if k in self.at else self.number(k) for k in range(len(self.values))]
        if any(number is None and k not in self.at for k, number in enumerate(constants)):
            return None

        def value(*numbers: Any) -> Any:
            if any(isinstance(number, jax.core.Tracer) for number in constants):
                raise TypeError(TRACED.format(self.label, "its constant"))
            given = dict(zip(self.at, numbers, strict=True))
            return self._of_numbers([given.get(k, number) for k, number in enumerate(constants)], numbers[0].shape)

        return value

    def _of_numbers(self, values: Values, shape: tuple[int, ...]) -> Any:
        """The primitive of numbers in the dtype that those have: constants of another round no value."""
        own = [x.dtype for x in values if isinstance(x, jax.Array) and x.shape == shape and _is_float(x)]
        dtype = jnp.result_type(*own) if own else jnp.result_type(float)
        if self.name == "convert_element_type":
            target = self.params["new_dtype"]
            return values[0].astype(dtype if jnp.issubdtype(target, jnp.floating) else target)
        kinds = [dtype if jnp.issubdtype(kind, jnp.floating) else kind for kind in self.dtypes]
        arrays = [jnp.broadcast_to(jnp.asarray(x, kind), shape) for x, kind in zip(values, kinds, strict=True)]
        return self._bound(arrays)[0]

    def _bound(self, values: Values) -> Any:
        found = self.primitive.bind(*values, **self.params)
        return found if self.primitive.multiple_results else [found]


def _is_float(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.floating))


def label_of(equation: Any) -> str:
    """The primitive behind the names of the modules that it is in."""
    path = str(equation.source_info.name_stack)
    return f"{path}: {equation.primitive.name}" if path else str(equation.primitive.name)


def names_of(nodes: Sequence[Node]) -> str:
    """Name nodes in a sentence."""
    return " and ".join(dict.fromkeys(node.name for node in nodes))


def check_draws(jaxpr: Jaxpr) -> None:
    """Raise for random numbers, wherever they are."""
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith(DRAWS):
            raise TypeError(
                f"{label_of(equation)}: the function draws random numbers, of which one draw would be kept: draw "
                "them outside of it, or leave them out as for inference"
            )
        for inner in _inner(equation.params.values()):
            check_draws(inner)


def _inner(params: Any) -> Iterator[Jaxpr]:
    for value in params:
        if isinstance(value, list | tuple):
            yield from _inner(value)
        elif hasattr(value, "jaxpr") or hasattr(value, "eqns"):
            yield getattr(value, "jaxpr", value)


def computed(function: Callable[..., Any], *values: Any) -> Any:
    """function(*values) of constants: at once, unless they are traced."""
    is_traced = any(isinstance(x, jax.core.Tracer) for x in values)
    with nullcontext() if is_traced else jax.ensure_compile_time_eval():
        return function(*values)


class Interpreter:
    """Goes through jaxprs; `node_of` makes a node of an equation and the position of its result."""

    def __init__(self, node_of: Callable[[Equation, int], Node]) -> None:
        self.node_of = node_of

    def run(self, jaxpr: Any, arguments: Values, constants: Sequence[Any] = ()) -> Values:
        """The results of a jaxpr, which may be closed."""
        constants = getattr(jaxpr, "consts", constants)
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True))

        def values_of(variables: Any) -> Values:
            return [x.val if isinstance(x, Literal) else known[x] for x in variables]

        for equation in jaxpr.eqns:
            results = self._results(equation, values_of(equation.invars))
            known |= dict(zip(equation.outvars, results, strict=True))
        return values_of(jaxpr.outvars)

    def _results(self, equation: Any, values: Values) -> Values:
        primitive, params = equation.primitive, equation.params
        if not any(isinstance(x, Node) for x in values):
            given = primitive.get_bind_params(params)
            # before JAX 0.10 functions came apart from parameters
            functions, params = given if isinstance(given, tuple | list) else ((), given)
            found = computed(lambda *constants: primitive.bind(*functions, *constants, **params), *values)
            return list(found) if primitive.multiple_results else [found]
        if primitive.name in CALLS:
            inner = next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params)
            return self.run(inner, values)
        control = {"scan": self._scan, "while": self._while, "cond": self._cond}.get(primitive.name)
        if control is not None:
            return control(equation, values)
        known = Equation(equation, values)
        # what has no results, as a print has, is left out
        return [self.node_of(known, k) for k in range(len(equation.outvars))]

    def _scan(self, equation: Any, values: Values) -> Values:
        """The loop's steps one after the other."""
        params = equation.params
        consts, carried, length = params["num_consts"], params["num_carry"], params["length"]
        fixed, carry, slices = values[:consts], values[consts:][:carried], values[consts + carried :]
        order = range(length)[::-1] if params["reverse"] else range(length)
        rows: dict[int, Values] = {}
        for k in order:
            found = self.run(params["jaxpr"], [*fixed, *carry, *(_element(x, k) for x in slices)])
            carry, rows[k] = found[:carried], found[carried:]
        if not rows:
            return [*carry, *(jnp.zeros(x.aval.shape, x.aval.dtype) for x in equation.outvars[carried:])]
        return [*carry, *(_stacked(list(xs)) for xs in zip(*(rows[k] for k in range(length)), strict=True))]

    def _while(self, equation: Any, values: Values) -> Values:
        """The loop's steps, whose number does not depend on the inputs."""
        params, label = equation.params, label_of(equation)
        ends = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        of_cond, of_body, carry = values[: ends[0]], values[ends[0] : ends[1]], values[ends[1] :]
        while self._known(self.run(params["cond_jaxpr"], [*of_cond, *carry])[0], label, "how often it runs"):
            carry = self.run(params["body_jaxpr"], [*of_body, *carry])
        return carry

    def _cond(self, equation: Any, values: Values) -> Values:
        at = int(self._known(values[0], label_of(equation), "which branch it takes"))
        branches = equation.params["branches"]
        return self.run(branches[min(max(at, 0), len(branches) - 1)], values[1:])

    def _known(self, value: Any, label: str, what: str) -> Any:
        if isinstance(value, Node):
            raise TypeError(f"{label}: {what} depends on values of the input, by {value.name}; use jnp.where")
        if isinstance(value, jax.core.Tracer):
            raise TypeError(TRACED.format(label, what))
        return value


def _element(x: Any, k: int) -> Any:
    """x[k] of a node or a constant."""
    if not isinstance(x, Node):
        return computed(lambda constant: constant[k], x)

    def value(rows: Any) -> Any:
        return rows[:, k]

    return Node(Affine(value, value, value, selects=True), (x,), x.shape[1:], x.name)


def _stacked(parts: Values) -> Any:
    """Nodes and constants of one shape, one behind the other."""
    at = [k for k, x in enumerate(parts) if isinstance(x, Node)]
    if not at:
        return computed(lambda *constants: jnp.stack(constants), *parts)
    nodes = tuple(parts[k] for k in at)

    def stack(change: Callable[[Any], Any]) -> Map:
        def of_one(*given: Any) -> Any:
            rows = dict(zip(at, given, strict=True))
            return jnp.stack([rows[k] if k in rows else change(x) for k, x in enumerate(parts)])

        return jax.vmap(of_one)

    value, linear = stack(jnp.asarray), stack(jnp.zeros_like)
    shape = (len(parts), *nodes[0].shape)
    return Node(Affine(value, linear, linear, joins=True, selects=True), nodes, shape, "scan")
