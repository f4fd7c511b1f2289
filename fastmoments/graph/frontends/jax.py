"""JAX: the function is traced for a batch of one, and what its jaxpr does with the inputs is the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters import partial_eval

from fastmoments.graph.frontends.jax_ops import node_of
from fastmoments.graph.frontends.jax_trace import Interpreter, check_draws
from fastmoments.graph.kinds import SEVERAL, takes_several
from fastmoments.graph.nodes import Affine, Graph, Input, Node

Arguments = Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]]
BATCH = 3  # rows, of which those that are in COMPARED are compared with batches of one
COMPARED = (0, 1)  # neither a shift, a reversal nor a sum over rows before or behind leaves both unnoticed
CLOSE = {"float64": 1e-8}  # of the largest value: products of other sizes round otherwise
ROUGH = 1e-3  # the same in other dtypes
SAME = {"float64": 1e-13}  # of values, to their size: roundings of constants
SAME_32 = 4e-6  # the same in float32; gelu and its tanh form, the most alike, differ by 5e-5


def graph_of(model: Any, mus: Sequence[Array], arguments: Arguments, single: bool) -> Graph:
    """The graph of model(*args, **kwargs); `arguments` makes these of the inputs, of arrays like mus.

    The model takes a single input as it is, and else a batch.
    """
    if not callable(model):
        raise TypeError(f"model: expected a function of JAX arrays, got {model!r}")
    lead = () if single else (1,)
    one, out = traced(model, mus, arguments, lead)
    check_draws(one.jaxpr)
    if not single:
        check_rows(one, traced(model, mus, arguments, (BATCH,))[0], mus)
    names = ["input"] if len(mus) == 1 else [f"input {k}" for k in range(len(mus))]
    inputs = [Node(Input(), (), tuple(mu.shape[1:]), name) for mu, name in zip(mus, names, strict=True)]
    given = inputs if single else [_as_batch(node) for node in inputs]
    outputs = Interpreter(node_of).run(one, given)
    for k, node in enumerate(outputs):
        if not isinstance(node, Node):
            what = "the function's output" if len(outputs) == 1 else f"output {k} of the function"
            raise TypeError(f"model: {what} does not depend on its input; return it apart")

    def rebuild(values: Sequence[Array], single: bool) -> Any:
        return jax.tree.unflatten(jax.tree.structure(out), [x[0] if single else x[:, 0] for x in values])

    def parts(out: Any, rows: int) -> list[Array]:
        return [x.reshape(rows, *node.shape) for x, node in zip(jax.tree.leaves(out), outputs, strict=True)]

    same = SAME.get(str(mus[0].dtype), SAME_32)
    of_rows = partial(_rows, mus[0].dtype)
    return Graph(inputs, outputs, rebuild, numbers, of_rows, lambda function: function, jnp, same, parts=parts)


def traced(
    model: Any, mus: Sequence[Array], arguments: Arguments, lead: tuple[int, ...]
) -> tuple[ClosedJaxpr, Any]:
    """The model's jaxpr for inputs of so many rows, without what its outputs do not need, and their shapes."""

    def function(*arrays: Array) -> Any:
        args, kwargs = arguments(arrays)
        return model(*args, **kwargs)

    shapes = [jax.ShapeDtypeStruct((*lead, *mu.shape[1:]), mu.dtype) for mu in mus]  # type: ignore[no-untyped-call]
    try:
        closed, out = jax.make_jaxpr(function, return_shape=True)(*shapes)
    except Exception as error:
        told = ", ".join(str(x.shape) for x in shapes)
        raise ValueError(
            f"mu: the function raises for inputs of shape {told}: {type(error).__name__}: {error}; {_hint(error)}"
        ) from error
    needed, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    return ClosedJaxpr(needed, closed.consts), out


def _hint(error: Exception) -> str:
    """Return the remedy for an error that the model itself raised."""
    if isinstance(error, jax.errors.TracerArrayConversionError | jax.errors.ConcretizationTypeError):
        return "write it with jax.numpy, and with jnp.where in the place of values' if"
    if takes_several(error):
        return SEVERAL
    return (
        "a function of one example takes a single mu and cov (n, n), one of a batch mu (batch, ...) and cov "
        "(batch, n, n)"
    )


def _as_batch(node: Node) -> Node:
    """The value as a batch of one, which the model takes."""

    def value(x: Array) -> Array:
        return x[:, None]

    return Node(Affine(value, value, value, unchanged=True), (node,), (1, *node.shape), node.name)


def check_rows(one: ClosedJaxpr, three: ClosedJaxpr, mus: Sequence[Array]) -> None:
    """Raise if the examples of a batch meet, or are not in the first dimension of every output."""
    for of_one, of_three in zip(one.out_avals, three.out_avals, strict=True):
        if of_one.shape[:1] != (1,) or of_three.shape != (BATCH, *of_one.shape[1:]):
            raise ValueError(
                f"model: for batches of 1 and {BATCH} it returns shapes {of_one.shape} and {of_three.shape}: the "
                "batch must stay the first dimension"
            )
    noise, known = np.random.default_rng(0), dict[int, Array]()

    def number(x: Any) -> Any:
        """A constant, or one in the place of a tracer: which rows meet does not depend on its values."""
        if isinstance(x, jax.core.Tracer):
            known.setdefault(id(x), jnp.asarray(noise.uniform(0.5, 1.5, x.shape), x.dtype))
        return known.get(id(x), x)

    with jax.ensure_compile_time_eval():
        batch = [_examples(mu, noise) for mu in mus]
        together, alone = (jaxpr_as_fun(ClosedJaxpr(x.jaxpr, [number(c) for c in x.consts])) for x in (three, one))
        wanted = together(*batch)
        for k in COMPARED:
            for found, want in zip(alone(*(x[k : k + 1] for x in batch)), wanted, strict=True):
                if not _close(np.asarray(found[0]), np.asarray(want[k]), np.asarray(want)):
                    raise ValueError(
                        "model: its output for an example depends on the others in the batch, or on their number; "
                        "the rows of a batch must not meet"
                    )


def _examples(mu: Array, noise: np.random.Generator) -> Array:
    """Examples around the first input, if it is known. Their values tell rows apart, no more."""
    shape = mu.shape[1:]
    first = np.zeros(shape) if isinstance(mu, jax.core.Tracer) or not len(mu) else np.asarray(mu[0], np.float64)
    return jnp.asarray(first + noise.standard_normal((BATCH, *shape)) * (1.0 + np.abs(first)), mu.dtype)


def _close(one: Any, two: Any, all_rows: Any) -> bool:
    if not jnp.issubdtype(one.dtype, jnp.floating):
        return bool((one == two).all())
    kind = str(one.dtype)
    one, two, all_rows = (x.astype(np.float64) for x in (one, two, all_rows))
    scale = np.abs(np.nan_to_num(all_rows, posinf=0.0, neginf=0.0)).max(initial=0.0)
    return bool(np.allclose(one, two, rtol=0.0, atol=CLOSE.get(kind, ROUGH) * scale, equal_nan=True))


def _rows(dtype: Any, function: Any, x: Any) -> Any:
    """The values of a map of rows at NumPy's numbers; None if its constants are tracers."""
    try:
        with jax.ensure_compile_time_eval():
            return np.asarray(function(jnp.asarray(x, dtype)), np.float64)
    except jax.errors.JAXTypeError:
        return None


def numbers(function: Any, x: Any) -> Any:
    """A scalar function's values of NumPy's numbers, in float64."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        return np.asarray(function(jnp.asarray(x, jnp.float64)), np.float64)
