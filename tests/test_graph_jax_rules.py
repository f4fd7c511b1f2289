"""Functions of JAX: which activation they are, what is refused by name, and rows that meet."""

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import fastmoments as fm  # noqa: E402
from fastmoments.graph.inputs import inputs_of  # noqa: E402
from fastmoments.graph.models import graph_of  # noqa: E402
from fastmoments.graph.nodes import Activation, Affine  # noqa: E402
from fastmoments.graph.rewrite import rewrite  # noqa: E402
from fastmoments_kernels.catalogue import GELU, LeakyReLU, ReLU  # noqa: E402
from tests.test_graph_jax import A, B, given  # noqa: E402

jnp, lax, nn = jax.numpy, jax.lax, jax.nn
propagate = fm.nn.propagate


pytestmark = pytest.mark.usefixtures("jax_double_precision")


ACTIVATIONS = {
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(0.01),
    "gelu": "gelu_tanh",
    "silu": fm.SiLU(),
    "softplus": fm.Softplus(),
    "sigmoid": fm.Sigmoid(),
    "tanh": fm.Tanh(),
    "log_sigmoid": fm.LogSigmoid(),
    "elu": fm.ELU(),
    "celu": fm.ELU(),
    "selu": fm.ELU(1.6732632423543772),
    "relu6": fm.ReLU6(),
    "hard_tanh": fm.HardTanh(),
    "hard_sigmoid": fm.HardSigmoid(),
    # the others by their kinks and sup |f'|
    "hard_silu": ((-3.0, 3.0), 1.5),
    "mish": ((), 1.0884981612517279),
    "soft_sign": ((0.0,), 1.0),
    "squareplus": ((), None),
}


def activation_of(f, dtype):
    """What the readings get in the place of an elementwise function."""
    mu, cov = (x.astype(dtype) for x in given(2))
    graph = rewrite(graph_of(f, inputs_of(f, mu, cov, "full"), {}), False)
    (node,) = graph.outputs
    while not isinstance(node.rule, Activation):
        (node,) = node.inputs
    return node.rule.activation


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_activations_are_known_by_their_values(dtype):
    points = np.linspace(-7.0, 7.0, 29)
    for name, wanted in ACTIVATIONS.items():
        f = getattr(nn, name)
        found = activation_of(f, dtype)
        if isinstance(wanted, tuple):
            kinks, slope = wanted
            # the last bit of a kink is that of a bisection; constants of single precision have 24 bits
            np.testing.assert_allclose(found.kinks, kinks, rtol=1e-15)
            assert found.lipschitz == slope or found.lipschitz == pytest.approx(slope, rel=1e-6)
            if slope is None:
                np.testing.assert_allclose(found.function(jnp.asarray(points)), f(points), rtol=1e-6, atol=1e-7)
        elif isinstance(wanted, fm.ELU):
            assert found.alpha == pytest.approx(wanted.alpha, rel=1e-7)
        elif isinstance(wanted, LeakyReLU):
            assert found.negative_slope == pytest.approx(wanted.negative_slope, rel=1e-7)
        else:
            assert found == wanted
    assert activation_of(lambda x: nn.gelu(x, approximate=False), dtype) == GELU()


def random_of(x):
    return x + jax.random.normal(jax.random.key(0), x.shape)


def while_above(x):
    return lax.while_loop(lambda c: c.sum() > 1.0, lambda c: 0.5 * c, x)


REFUSED = {
    "draws": (TypeError, "random_bits: the function draws random numbers", random_of),
    "sort": (TypeError, "sort: no rule for the order of values; it reads input;", jnp.sort),
    "round": (TypeError, "round: no rule for it; it reads input;", jnp.round),
    "norm": (TypeError, "div: a quotient of two values, input and sqrt", lambda x: x / jnp.sqrt(1.0 + x @ B[:, 0])),
    "reciprocal": (TypeError, "div: it divides by what may be 0", lambda x: 1.0 / x),
    "log": (TypeError, "log: it is not finite at all numbers", jnp.log),
    "while": (TypeError, "while: how often it runs depends on values of the input", while_above),
    "cond": (TypeError, "cond: which branch .* depends on", lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)),
    "narrow": (TypeError, "it rounds float64 to float32; give", lambda x: x.astype("float32")),
    "integers": (TypeError, "it rounds float64 to int32, for", lambda x: x.astype("int32") * 2.0),
    "branch": (ValueError, "raises for inputs of shape .6,.: TracerBool", lambda x: x if x[0] > 0 else -x),
    "shape": (ValueError, "raises for inputs of shape .6,.: TypeError", lambda x: B @ x),
    "constant": (TypeError, "output 1 of the function does not depend", lambda x: (x, A)),
    "no function": (TypeError, "model: expected a function of JAX arrays, got 3.0", 3.0),
    "neurons": (TypeError, "max: its constants differ", lambda x: jnp.maximum(x, jnp.arange(6.0))),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.feature("JAX", "networks: random numbers", "refused")
def test_what_has_no_rule_is_refused(name):
    kind, message, f = REFUSED[name]
    with pytest.raises(kind, match=message):
        propagate(f, *given())


MIXED = {
    "mean": lambda x, w: x - w * x.mean(0),
    "sum before": lambda x, w: jnp.cumsum(x, 0),
    "sum behind": lambda x, w: jnp.cumsum(x[::-1], 0)[::-1],
    "reversed": lambda x, w: x[::-1],
    "shifted": lambda x, w: jnp.roll(x, 1, 0),
    "number": lambda x, w: x / len(x),
    "transposed": lambda x, w: x.T,
    "without the batch": lambda x, w: x.sum(0),
}


@pytest.mark.parametrize("name", MIXED)
def test_rows_of_a_batch_must_not_meet(name):
    """With constants that are known, and with one that jit traces."""
    mu, cov = given(2)
    f, message = MIXED[name], "in the batch, or on their number|the batch must stay"
    with pytest.raises(ValueError, match=message):
        propagate(lambda x: f(x, 0.5), mu[None], cov[None])
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda w: propagate(lambda x: f(x, w), mu[None], cov[None]))(0.5)


TRACED = {
    "slope": lambda w, x: jnp.where(x > 0, x, w * x),
    "swish": lambda w, x: x * nn.sigmoid(w * x),
    "clip": lambda w, x: jnp.clip(x, -w, w),
    "loop": lambda w, x: lax.while_loop(lambda c: c[1] < w, lambda c: (2.0 * c[0], c[1] + 1.0), (x, 0.0))[0],
    "branch": lambda w, x: lax.cond(w > 1.0, jnp.sin, jnp.cos, x),
}


@pytest.mark.parametrize("name", TRACED)
def test_traced_numbers_that_must_be_known_are_refused(name):
    with pytest.raises(TypeError, match="jit, grad or vmap traces .* must be a number here"):
        jax.jit(lambda w: propagate(partial(TRACED[name], w), *given(2)))(0.5)


@pytest.mark.feature("JAX", "networks: rules of your own", "refused")
def test_rules_are_those_of_modules():
    with pytest.raises(TypeError, match="rules: they are of modules"):
        propagate(jnp.sin, *given(2), rules={dict: None})


def test_layers_of_weights_have_their_matrix():
    """For one example and for a batch, from either side: readings multiply by it at once."""
    mu, cov = given()
    row = lambda x: x @ B  # noqa: E731
    for f, weights, *inputs in (
        (row, B.T, mu, cov),
        (lambda x: A @ x, A, mu, cov),
        (row, B.T, mu[None], cov[None]),
    ):
        node = graph_of(f, inputs_of(f, *inputs, "full"), {}).outputs[0]
        assert isinstance(node.rule, Affine) and node.rule.weighted
        np.testing.assert_array_equal(node.rule.matrix, weights)
