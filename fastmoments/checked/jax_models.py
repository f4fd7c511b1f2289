"""JAX models at many points: the function of one example, or of a batch of one, mapped over rows and compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from fastmoments.checked.arrays import COMPLEX
from fastmoments.graph.frontends.jax import check_rows, traced
from fastmoments.graph.frontends.jax_trace import check_draws
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Shape

Batch = Callable[[list[Array], Array | None], list[Array]]

FEWEST = 1024  # rows of a program, for which a few points are too few


def batch_of(model: Any, inputs: Inputs, parts: Callable[[Any, int], list[Array]]) -> Batch:
    """Return what runs the model itself on a batch, whose rows cannot meet."""

    def of_one(*arrays: Array) -> Any:
        args, kwargs = inputs.arguments(arrays if inputs.single else [x[None] for x in arrays])
        return model(*args, **kwargs)

    def batch(rows: list[Array], uniforms: Array | None) -> list[Array]:
        found = parts(jax.vmap(of_one)(*rows), len(rows[0]))
        if any(jnp.iscomplexobj(part) for part in found):
            raise TypeError(COMPLEX)
        return [part.astype(rows[0].dtype) for part in found]

    return batch


def without_graph(
    model: Any, inputs: Inputs, rules: Mapping[type, Any]
) -> tuple[Batch, list[Shape], Callable[[Sequence[Array], bool], Any]]:
    """Return what runs a batch, the shapes of the outputs, and what makes the model's structure of them."""
    if not callable(model):
        raise TypeError(f"model: expected a function of JAX arrays, got {model!r}")
    lead = () if inputs.single else (1,)
    one, out = traced(model, inputs.means, inputs.arguments, lead)
    check_draws(one.jaxpr)
    if not inputs.single:
        check_rows(one, traced(model, inputs.means, inputs.arguments, (3,))[0], inputs.means)
    shapes = [tuple(x.shape[len(lead) :]) for x in jax.tree.leaves(out)]

    def parts(found: Any, rows: int) -> list[Array]:
        return [x.reshape(rows, *shape) for x, shape in zip(jax.tree.leaves(found), shapes, strict=True)]

    def rebuild(values: Sequence[Array], single: bool) -> Any:
        return jax.tree.unflatten(jax.tree.structure(out), [x[0] if single else x for x in values])

    return batch_of(model, inputs, parts), shapes, rebuild


def compiled(batch: Batch, most: int) -> Batch:
    """Return the function compiled once, for a number of rows that the first call decides, at most `most`.

    More rows take several runs, fewer are filled up with the last one, so that more points compile nothing anew.
    """
    program: list[tuple[int, Callable[..., list[Array]]]] = []

    def run(rows: list[Array], uniforms: Array | None) -> list[Array]:
        given = rows if uniforms is None else [*rows, uniforms]
        count = len(rows[0])
        if not program:
            size = min(max(FEWEST, 1 << (count - 1).bit_length()), most)
            program.append((size, _program(batch, given, size, uniforms is not None)))
        size, function = program[0]
        found = [function(*(_filled(x[k : k + size], size) for x in given)) for k in range(0, count, size)]
        return [jnp.concatenate(parts)[:count] for parts in zip(*found, strict=True)]

    return run


def _program(batch: Batch, given: Sequence[Array], size: int, drawn: bool) -> Callable[..., list[Array]]:
    """The batch of so many rows, compiled with constants as arguments: they may be tracers, and are large."""

    def function(*arrays: Array) -> list[Array]:
        rows = list(arrays)
        uniforms = rows.pop() if drawn else None
        return batch(rows, uniforms)

    shapes = [jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype) for x in given]  # type: ignore[no-untyped-call]
    closed = jax.make_jaxpr(function)(*shapes)
    run = jax.jit(lambda constants, *arrays: jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, constants))(*arrays))
    return lambda *arrays: list(run(closed.consts, *arrays))


def _filled(x: Array, size: int) -> Array:
    """Rows filled up with the last one, so that no row is out of the function's domain."""
    if len(x) == size:
        return x
    return jnp.concatenate([x, jnp.broadcast_to(x[-1:], (size - len(x), *x.shape[1:]))])
