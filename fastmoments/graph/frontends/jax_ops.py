"""JAX's primitives: which weights the affine ones have, and which function of a number the elementwise ones are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from fastmoments.composed.exp import Exp
from fastmoments.composed.logistic import Sigmoid, Tanh
from fastmoments.composed.piecewise import HardTanh
from fastmoments.graph.frontends.jax_joint import joint_of
from fastmoments.graph.frontends.jax_trace import Equation
from fastmoments.graph.nodes import Affine, Elementwise, Node, Rule, Sum, Unknown, spread
from fastmoments_kernels.catalogue import Abs, Cos, Erf, ReLU, Sin

# Elements keep their order
SAME_ORDER = "reshape squeeze expand_dims copy copy_p sharding_constraint name".split()
# Every element of the result is an element of an input or a constant
SELECTS = """transpose broadcast_in_dim slice concatenate pad rev gather dynamic_slice dynamic_update_slice scatter
    select_n split stack unstack tile stop_gradient optimization_barrier""".split()
# Every element is a sum of different elements of an input
ADDS = "reduce_sum cumsum reduce_window_sum scatter-add scatter_add".split()
# Linear in what is not constant, with other weights than 0 and 1
LINEAR = "scatter-sub triangular_solve".split()
# Linear along constants that are multiplied with the input
WEIGHTED = "dot_general conv_general_dilated".split()
SUMS = "add sub neg add_any".split()
MULTIPLES = "mul div".split()
HINTS = {
    "argmax": "the position of a maximum",
    "sort": "the order of values",
}
NOTHING = {"max": -math.inf, "min": math.inf}  # beside which the other one is the result
ADVICE = "propagate the parts before and after it"
Known = dict[str, Any]  # activation, kinks, lipschitz, crossing, meaning


def node_of(equation: Equation, output: int) -> Node:
    """The node of one result of an equation."""
    found = joint_of(equation)
    if found is not None:
        return found
    name, inputs, shape, scalar = equation.name, equation.inputs, equation.shapes[output], None
    if name in SUMS:
        rule, inputs = _sum(equation), tuple(spread(jnp, node, shape) for node in inputs)
        scalar = equation.scalar()
    elif name in MULTIPLES:
        rule, scalar = _multiple(equation), equation.scalar()
    elif name == "convert_element_type":
        rule = _converted(equation)
        scalar = equation.scalar() if isinstance(rule, Elementwise) else None
    elif name in NOTHING and len(equation.at) == 1 and _is(equation.number(_other(equation)), NOTHING[name]):
        rule = Affine(*3 * (equation.map(),), unchanged=True)
    elif name in KNOWN and (name != "select_n" or 0 in equation.at):
        rule, scalar = Elementwise(equation.map(output), **KNOWN[name](equation)), equation.scalar()
    else:
        rule = _affine(equation, output)
    return Node(rule, inputs, shape, equation.label, scalar)


def _affine(equation: Equation, output: int) -> Rule:
    name, value = equation.name, equation.map(output)
    if name in SAME_ORDER:
        return Affine(value, value, value, unchanged=True)
    if name in SELECTS:
        linear = equation.map(output, zeroed)
        return Affine(value, linear, linear, joins=True, selects=True)
    if name in ADDS:
        linear = equation.map(output, zeroed)
        return Affine(value, linear, linear)
    if name in LINEAR and (name != "triangular_solve" or 0 not in equation.at):
        return Affine(value, equation.map(output, zeroed) if name == "scatter-sub" else value)
    if name in WEIGHTED:
        if len(equation.inputs) > 1:
            return Unknown(value, f"no rule for filters that are values of the network; {ADVICE}")
        return Affine(value, value, equation.map(output, squared), _matrix(equation), weighted=True)
    what = HINTS.get(name, "it")
    # a part, perhaps, of a function that `recognise` knows as a whole
    return Unknown(value, f"no rule for {what}; it reads {equation.reads}; {ADVICE}")


def zeroed(constant: Any) -> Any:
    """0 in the place of a constant that is added; indices and masks stay."""
    is_added = jnp.issubdtype(jnp.result_type(constant), jnp.floating)
    return jnp.zeros_like(constant) if is_added else constant


def squared(weight: Any) -> Any:
    """The square of a weight."""
    return weight * weight


def _matrix(equation: Equation) -> Any:
    """The weights (m, n), where the equation is x -> weights x."""
    if equation.name != "dot_general":
        return None
    contracted, batch = equation.params["dimension_numbers"]
    weights, along = equation.values[_other(equation)], contracted[_other(equation)]
    if batch[0] or len(along) != 1 or jnp.ndim(weights) != 2:
        return None
    if equation.inputs[0].size != weights.shape[along[0]]:
        return None
    return weights if along[0] == 1 else weights.T


def _sum(equation: Equation) -> Rule:
    signs = {"neg": (-1.0,), "sub": (1.0, -1.0)}.get(equation.name, (1.0, 1.0))
    return Sum(equation.map(), tuple(signs[k] for k in equation.at))


def _multiple(equation: Equation) -> Rule:
    """A multiple of the input, or a product or quotient that is none."""
    value, is_product = equation.map(), equation.name == "mul"
    if len(equation.at) == 2 or (not is_product and equation.at == [1]):
        return Elementwise(value, meaning="product" if is_product else "quotient")
    factor = equation.number(_other(equation))
    if factor is None or equation.inputs[0].shape != equation.shapes[0]:
        return Affine(value, value, equation.map(0, squared), scales=True)
    return Sum(value, (factor if is_product else 1.0 / factor,))


def _converted(equation: Equation) -> Rule:
    """A change of dtype, which must not round."""
    value, old, new = equation.map(), equation.dtypes[0], equation.params["new_dtype"]
    if not jnp.issubdtype(old, jnp.floating):
        return Elementwise(value)
    if old == new:
        return Affine(value, value, value, unchanged=True)
    if not jnp.issubdtype(new, jnp.floating):
        raise TypeError(f"{equation.label}: it rounds {old} to {new}, for which it has no rule")
    if jnp.promote_types(old, new) != new:
        raise TypeError(f"{equation.label}: it rounds {old} to {new}; give mu, cov and the parameters in {new}")
    return Affine(value, value, value, selects=True)


def _gap(*inputs: Any) -> Any:
    return inputs[0] - inputs[1]


def _other(equation: Equation) -> int:
    """The position of the constant among two."""
    return 1 - equation.at[0]


def _is(number: Any, known: float) -> bool:
    """Whether a number is a known one; a tracer may be."""
    return isinstance(number, float) and number == known


def _kinks(*numbers: float | None) -> tuple[float, ...]:
    return tuple(float(x) for x in numbers if x is not None)


def _comparison(equation: Equation) -> Known:
    if len(equation.at) == 2:
        return {"crossing": _gap, "lipschitz": math.inf}
    return {"kinks": _kinks(equation.known_number(_other(equation))), "lipschitz": math.inf}


def _extreme(meaning: str) -> Callable[[Equation], Known]:
    def known(equation: Equation) -> Known:
        if len(equation.at) == 2:
            return {"crossing": _gap, "lipschitz": 1.0, "meaning": meaning}
        number = equation.known_number(_other(equation))
        if number is None or not math.isfinite(number):
            return {"kinks": _kinks(number), "lipschitz": 1.0}
        if meaning == "maximum":
            return {"activation": HardTanh(number, None) if number else ReLU()}
        return {"activation": HardTanh(None, number)}

    return known


def _clamp(equation: Equation) -> Known:
    ends = [None if k in equation.at else equation.known_number(k) for k in (0, 2)]
    low, high = ends
    if low is not None and high is not None and -math.inf < low < high < math.inf:
        return {"activation": HardTanh(low, high)}
    return {"kinks": _kinks(*ends), "lipschitz": 1.0}


def _pow(equation: Equation) -> Known:
    if 1 in equation.at:
        return {}
    power = equation.known_number(1)
    is_even = power is not None and float(power).is_integer() and power >= 0
    return {} if is_even else {"kinks": (0.0,)}


def _integer_pow(equation: Equation) -> Known:
    return {"meaning": "quotient"} if equation.params["y"] < 0 else {}


def _as(**known: Any) -> Callable[[Equation], Known]:
    return lambda equation: known


KNOWN: dict[str, Callable[[Equation], Known]] = {
    "max": _extreme("maximum"),
    "min": _extreme("minimum"),
    "clamp": _clamp,
    "abs": _as(activation=Abs()),
    "exp": _as(activation=Exp()),
    "sin": _as(activation=Sin()),
    "cos": _as(activation=Cos()),
    "erf": _as(activation=Erf()),
    "tanh": _as(activation=Tanh()),
    "logistic": _as(activation=Sigmoid()),
    "erfc": _as(lipschitz=2.0 / math.sqrt(math.pi)),
    "atan": _as(lipschitz=1.0),
    "asinh": _as(lipschitz=1.0),
    "sign": _as(kinks=(0.0,), lipschitz=math.inf),
    "cbrt": _as(kinks=(0.0,)),
    "pow": _pow,
    "integer_pow": _integer_pow,
} | dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne"), _comparison)
KNOWN |= dict.fromkeys(
    """exp2 expm1 log log1p sinh cosh sqrt rsqrt square is_finite and or not xor select_n""".split(), _as()
)
