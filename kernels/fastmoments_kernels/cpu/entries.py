"""The compiled loops that Python and NumPy call: templates, bindings and signatures. Callers name them by labels.

A label says everything that a loop depends on: the activation, the loop, the number of parameters and the dtype.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numba import types

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import (
    beyond,
    covariance,
    covariance_vjp,
    far_slopes,
    few,
    linear,
    neurons,
    products,
    serial,
    series,
)
from fastmoments_kernels.cpu.bodies import BODIES, cdf_routes, routes
from fastmoments_kernels.cpu.compiled import INLINED, entry, formula_binding, jit, pack_binding, ufunc_loop
from fastmoments_kernels.cpu.layout import lanes, matrix_label
from fastmoments_kernels.cpu.loops import in_turn, loop, loop_by_routes
from fastmoments_kernels.cpu.machine import VECTOR as VECTOR
from fastmoments_kernels.cpu.memory import LOAD, STORE
from fastmoments_kernels.cpu.vocabulary import binding, inline
from fastmoments_kernels.formulas.bivariate_normal import NORMAL, bivariate_route
from fastmoments_kernels.formulas.identity import has_routes
from fastmoments_kernels.kinds import ALL, FIXED, KINDS, outputs_of, slack_of


def _array(real: Any, ndim: int) -> Any:
    return types.Array(real, ndim, "C")


def _input(real: Any, ndim: int) -> Any:
    return types.Array(real, ndim, "C", readonly=True)  # writable arrays convert to it, so one signature serves all


def _known(table: Any) -> Any:
    """The type of the fields of `layout.Known`, the table in one dtype."""
    double = types.float64
    before = (_array(double, 2), _array(double, 3), _array(double, 2))
    return types.Tuple((*before, _array(table, 4), _array(double, 3)))


def matrix(name: str, row_name: str, parameters: int, dtype: np.dtype[Any]) -> Any:
    """The loop `name` for matrices of one dtype; everything per neuron is float64."""
    return entry(*_matrix(name, row_name, parameters, dtype))


MODULES = {"neurons": neurons, "pairs": covariance, "together": beyond, "placed": beyond}


def _matrix(name: str, row_name: str, parameters: int, dtype: np.dtype[Any]) -> tuple[Any, Binding, str, Any]:
    """What `entry` takes for it: its template, binding, label and signature."""
    double, real = types.float64, getattr(types, dtype.name)
    neuron, given, result = _input(double, 2), _input(real, 3), _array(real, 3)
    parameters_in, gradients = _input(double, 3), _array(double, 3)
    listing = _array(types.int32, 2), _array(double, 1), _array(types.int64, 1)
    parts, options, task = _array(double, 4), (types.int64, double, double), (types.int64, types.int64)
    signatures = {
        "neurons": (_known(double), neuron, neuron, parameters_in, _array(double, 2)),
        "pairs": (_known(real), given, result, types.int64, double, double, *listing, *task),
        "together": (_array(double, 3), types.int64, double, *listing[:2], types.int64),
        "placed": (types.int64, *listing[:2], types.int64, result),
        "pair_gradients": (_known(double), neuron, given, given, result, parts, *options, *task),
        "parameter_gradients": (_input(double, 3), given, given, gradients, double, *task),
    }
    module = MODULES.get(name, covariance_vjp)
    formula = row_of(row_name).formula
    bound, of_packs = formula_binding(formula, parameters), pack_binding(formula, parameters)
    by_packs = {loop.__name__: of_packs(loop) for loop in (neurons.measure, series.coefficients)}
    if name == "together":
        by_packs |= _sorted(formula, of_packs, beyond.covariances, 1)
    if name == "pair_gradients":
        by_packs |= _sorted(formula, of_packs, far_slopes.slopes_of_pairs, far_slopes.SLOPES)
    bound = Binding({**bound.names, **by_packs}, bound.compile, bound.constant)
    label = matrix_label(name, row_name, parameters, dtype)
    return getattr(module, name), bound, label, signatures[name]


def _sorted(formula: ModuleType, of_packs: Binding, body: Callable[..., None], outputs: int) -> dict[str, Any]:
    """Return the names that bind `loops.by_routes` to pairs, columns of the inputs of `beyond.pair_at`."""
    inputs = 2 * len(of_packs.names["NEURON"]) + 1
    names = {"INPUTS": inputs, "OPERANDS": inputs + outputs}
    bound = binding("pack", {**of_packs.names, **names}, jit)
    names |= {"body": bound(body), "routes": bound(beyond.routes)}
    return names if has_routes(formula) else {**names, "by_routes": binding("pack", names, jit)(in_turn)}


def whole(label: str, row_name: str, parameters: int, dtype: str) -> Any:
    """The inner loop of the ufunc `small.whole`: the loops `neurons` and `pairs` in one call."""
    kernels = (("neurons", np.dtype(np.float64)), ("pairs", np.dtype(dtype)))
    loops = {name: _matrix(name, row_name, parameters, of) for name, of in kernels}
    # not as entries, which would be compiled once more by themselves
    names = {key: jit(bound.copy(template, f"{name}_inner")) for key, (template, bound, name, _) in loops.items()}
    bound = formula_binding(row_of(row_name).formula, parameters)
    names["one_by_one"] = jit(bound.copy(beyond.one_by_one, "one_by_one_inner"))
    names |= {name: bound.names[name] for name in ("NEURON", "PARAMETERS")}
    names |= {"OPERANDS": 6 if parameters else 5, "REAL": getattr(np, dtype), "SIZE": np.dtype(dtype).itemsize}
    return ufunc_loop(serial.loop, names | {"EPS": float(np.finfo(dtype).eps)}, label)


def _shape(real: str, vectors: int) -> dict[str, int]:
    """linear.py's constants for panels of `vectors` vectors."""
    return {"VECTORS": vectors, "ROWS": products.SUMS // vectors, "WIDTH": vectors * lanes(real, VECTOR)}


def panels(label: str, real: str, vectors: int) -> Any:
    """The loop `linear.by_panels`."""
    number = getattr(types, real)
    signature = (_input(number, 2), _input(number, 2), _array(number, 4), types.int64, types.int64)
    return entry(linear.by_panels, binding(real, _shape(real, vectors), inline), label, signature)


def layer(label: str, activation: str | None, parameters: int, real: str, vectors: int) -> Any:
    """The loop of a layer with an activation or, if that is None, of the linear layer alone."""
    names = {**_shape(real, vectors), "INPUTS": 0, "OPERANDS": 2}
    if activation is not None:
        names |= {"INPUTS": 2 + parameters, "OPERANDS": 4 + parameters}
        of_formula = formula_binding(row_of(activation).formula, parameters, real).names
        names["body"] = binding(real, {**of_formula, "INPUTS": 2 + parameters}, inline)(BODIES["marginals"])
    number = getattr(types, real)
    given, result, counts, task = _input(number, 2), _array(number, 2), _array(types.int64, 1), (types.int64,) * 3
    signature = (given, given, _input(number, 4), given, given, result, result, counts, *task)
    return entry(linear.linear, binding(real, names, inline), label, signature)


def congruences(label: str, real: str) -> Any:
    """The loop `few.congruences`."""
    number, spacing = getattr(types, real), np.finfo(real).eps
    names = {"ROWS": min(products.SUMS, 8), "VECTORS": 2, "WIDTH": 2 * lanes(real, VECTOR), "EPS": spacing}
    given, matrices = _input(number, 2), _input(number, 3)
    signature = (matrices, given, given, given, _array(number, 3), *(types.int64,) * 3)
    return entry(few.congruences, binding(real, names, inline), label, signature)


def elementwise(label: str, row_name: str, kind: str, inputs: int, dtype: str) -> Any:
    """The ufunc's inner loop of an activation's function."""
    formula, neurons_in = row_of(row_name).formula, KINDS[kind].neurons
    parameters = (inputs - FIXED[neurons_in]) // neurons_in

    def names_in(real: str) -> Mapping[str, Any]:
        bound = pack_binding(formula, parameters) if real == "pack" else formula_binding(formula, parameters, real)
        return bound.names

    by_routes = routes if neurons_in == 2 and has_routes(formula) else None
    return _loop(label, kind, inputs, dtype, names_in, by_routes)


def normal(label: str, kind: str, dtype: str) -> Any:
    """The ufunc's inner loop of a function of the bivariate normal."""
    names = {formula.__name__: INLINED["pack"](formula) for formula in (*NORMAL.values(), bivariate_route)}
    return _loop(label, kind, FIXED[0], dtype, lambda real: names, cdf_routes)


def _loop(
    label: str,
    kind: str,
    inputs: int,
    dtype: str,
    names_in: Callable[[str], Mapping[str, Any]],
    by_routes: Callable[..., None] | None,
) -> Any:
    """A ufunc's inner loop; the number of inputs varies for mixtures."""
    real = dtype if ALL[kind].neurons == 1 else "pack"
    number = np.float32 if real == "float32" else np.float64
    constants: dict[str, Any] = {"INPUTS": inputs, "OPERANDS": inputs + outputs_of(kind, inputs), "REAL": number}
    constants |= {"SIZE": np.dtype(dtype).itemsize, "SLACK": slack_of(2, float(np.finfo(dtype).eps))}
    bound = binding(real, {**names_in(real), "INPUTS": inputs}, jit)
    names = {"load": LOAD[dtype], "store": STORE[dtype], "body": bound(BODIES[kind]), **constants}
    if by_routes:
        names["routes"] = bound(by_routes)
    return ufunc_loop(loop_by_routes if by_routes else loop, names, label)
