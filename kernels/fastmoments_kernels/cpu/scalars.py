"""The functions of numbers for users' own Numba code; they compute in float64, and return float32 for float32.

They are compiled for the types they are called with, and kept on disk like the loops.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.compiled import check_enabled, compiled_formula, formula_binding, jit
from fastmoments_kernels.cpu.kept import Kept
from fastmoments_kernels.formulas.bivariate_normal import NORMAL
from fastmoments_kernels.formulas.scalars import SCALARS
from fastmoments_kernels.kinds import is_of_pair, slack_of

function: Callable[..., Any] = SCALARS["mean"]  # bound per function


@intrinsic
def doubles(context: Any, numbers: Any) -> Any:
    """The numbers as float64."""
    for number in numbers:
        # Numba would take an array's first element
        if not isinstance(number, types.Integer | types.Float | types.Boolean):
            raise TypingError(f"expected real numbers, got {number}: pass elements, or use fm.ufuncs for arrays")
    count = len(numbers)
    result: Any = types.UniTuple(types.float64, count) if count else types.Tuple(())
    return result(result), lambda _, builder, signature, arguments: arguments[0]


def _type_of(numbers: Any) -> Any:
    single = all(number == types.float32 for number in numbers)
    return types.float32 if single else types.float64


@intrinsic
def rounded(context: Any, value: Any, numbers: Any) -> Any:
    """A value, or each of a tuple of values, in float32 if all of `numbers` are, else in float64."""
    real = _type_of(numbers)
    result: Any = types.UniTuple(real, len(value)) if isinstance(value, types.BaseTuple) else real

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return lowering.cast(builder, arguments[0], value, result)

    return result(value, numbers), emit


@intrinsic
def pair_slack(context: Any, numbers: Any) -> Any:
    """`slack_of` two neurons, in float32 if all of `numbers` are, else in float64."""
    slack = slack_of(2, float(np.finfo(str(_type_of(numbers))).eps))

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return lowering.get_constant(types.float64, slack)

    return types.float64(numbers), emit


def _of_neuron(mu: float, var: float, *parameters: float) -> Any:
    numbers = (mu, var) + parameters
    x = doubles(numbers)
    return rounded(function(x[0], x[1], x[2:]), numbers)


def _of_pair(mu_1: float, mu_2: float, var_1: float, var_2: float, cov_12: float, *parameters: float) -> Any:
    numbers = (mu_1, mu_2, var_1, var_2, cov_12) + parameters
    x = doubles(numbers)
    return rounded(function(x[0], x[1], x[2], x[3], x[4], x[5:], pair_slack(numbers)), numbers)


def _of_normal(h: float, k: float, rho: float) -> Any:
    numbers = (h, k, rho)
    x = doubles(numbers)
    return rounded(function(x[0], x[1], x[2]), numbers)


def _callable(template: Callable[..., Any], names: Mapping[str, Any], name: str) -> Any:
    check_enabled()
    function = numba.njit(error_model="numpy")(Binding(names, compile=jit).copy(template, name))
    function._cache = Kept(name, by_types=True)
    return function


@cache
def scalar(activation: str, name: str) -> Any:
    """The function `name` of SCALARS for an activation, with a positional argument per parameter."""
    row = row_of(activation)
    names = dict(formula_binding(row.formula, len(fields(row.activation))).names)
    template = _of_pair if is_of_pair(name) else _of_neuron
    names["function"] = Binding(names, compile=jit)(SCALARS[name])
    return _callable(template, names, f"{row.name}_{name}")


@cache
def normal_scalar(name: str) -> Any:
    """The function `name` of NORMAL."""
    return _callable(_of_normal, {"function": compiled_formula(NORMAL[name])}, name)
