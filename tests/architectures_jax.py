"""Small networks of batches as JAX's users write them: functions with pytrees of parameters, equinox, flax.

A maker takes a NumPy generator and returns the function. It makes its parameters when it is called, so that they
have the precision that is then in force. Hidden layers are 8 wide wherever they can be: XLA compiles a rule for
each width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn


class Case(NamedTuple):
    """A maker of a function from a generator, and the shapes of its arguments without the batch."""

    make: Callable
    shapes: object  # one shape, or a tuple or a dictionary of several
    sd: float = 0.01  # about that of every element of the input


def dense(rng, *sizes):
    """Parameters of a multilayer perceptron."""
    return [
        {"w": jnp.asarray(rng.normal(size=(n, m)) / np.sqrt(n)), "b": jnp.asarray(0.3 * rng.normal(size=m))}
        for n, m in zip(sizes, sizes[1:], strict=False)
    ]


def mlp(params, x, activation):
    for layer in params[:-1]:
        x = activation(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def perceptron(rng, activation, sizes=(4, 8, 8, 3)):
    return partial(mlp, dense(rng, *sizes), activation=activation)


def pinn(rng):
    """u(t, x) from two columns."""
    params = dense(rng, 2, 8, 8, 8, 1)

    def u(t, x):
        return mlp(params, jnp.concatenate([t, x], axis=-1), jnp.tanh)

    return u


def surrogate(rng):
    """Scaled inputs, SiLU, outputs in their own units."""
    params, scale = (
        dense(rng, 4, 8, 8, 3),
        {"x": jnp.asarray(rng.uniform(0.5, 2.0, 4)), "y": jnp.asarray([5.0, 1.0, 3.0])},
    )
    return lambda x: mlp(params, (x - 0.5) / scale["x"], nn.silu) * scale["y"] + 10.0


def siren(rng, omega=5.0):
    params = dense(rng, 2, 8, 8, 3)

    def f(x):
        for k, layer in enumerate(params[:-1]):
            x = jnp.sin((omega if k == 0 else 1.0) * (x @ layer["w"] + layer["b"]))
        return x @ params[-1]["w"] + params[-1]["b"]

    return f


def nerf(rng):
    """Positional encoding by broadcasting, a skip to the middle, density and colours."""
    encoded = 3 + 3 * 2 * 2
    first, second = dense(rng, encoded, 8, 8), dense(rng, 8 + encoded, 8, 8)
    rgb, sigma = dense(rng, 8 + 3, 8, 3), dense(rng, 8, 1)

    def encode(x):
        scaled = (x[..., None, :] * 2.0 ** jnp.arange(2)[:, None]).reshape(*x.shape[:-1], -1)
        return jnp.concatenate([x, jnp.sin(scaled), jnp.cos(scaled)], axis=-1)

    def f(points, directions):
        x = encode(points)
        h = nn.relu(mlp(first, x, nn.relu))
        h = nn.relu(mlp(second, jnp.concatenate([h, x], -1), nn.relu))
        return mlp(rgb, jnp.concatenate([h, directions], -1), nn.relu), mlp(sigma, h, nn.relu)[..., 0]

    return f


def conv(x, kernel, stride=1):
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def resnet(rng):
    """Convolutions, normalisation by known statistics, a strided block with a projection, average pooling."""
    shapes = {"stem": (3, 3, 1, 2), "one": (3, 3, 2, 4), "two": (3, 3, 4, 4), "skip": (1, 1, 2, 4)}
    kernels = {k: jnp.asarray(rng.normal(size=s) / np.sqrt(np.prod(s[:3]))) for k, s in shapes.items()}
    means, variances = (jnp.asarray(x) for x in (0.3 * rng.normal(size=4), rng.uniform(0.5, 2.0, 4)))
    head = dense(rng, 4, 3)[0]

    def norm(x):
        return (x - means) / jnp.sqrt(variances + 1e-5)

    def f(x):
        x = nn.relu(conv(x, kernels["stem"]))
        h = nn.relu(norm(conv(x, kernels["one"], 2)))
        h = norm(conv(h, kernels["two"])) + conv(x, kernels["skip"], 2)
        h = lax.reduce_window(nn.relu(h), 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4.0
        return h.reshape(len(h), -1) @ head["w"] + head["b"]

    return f


def mixer(rng):
    """Feed-forwards of tokens and of channels in turn."""
    tokens, channels = dense(rng, 4, 6, 4), dense(rng, 3, 8, 3)

    def f(x):
        x = x + jnp.swapaxes(mlp(tokens, jnp.swapaxes(x, 1, 2), nn.gelu), 1, 2)
        x = x + mlp(channels, x, nn.gelu)
        return jnp.mean(x, axis=1)

    return f


def deeponet(rng):
    """A branch of sensors, and a trunk whose coordinates are known."""
    branch, trunk = dense(rng, 6, 8, 8), dense(rng, 1, 8, 8)
    y = jnp.linspace(0.0, 1.0, 5)[:, None]
    return lambda u: jnp.einsum("...p,yp->...y", mlp(branch, u, jnp.tanh), mlp(trunk, y, jnp.tanh)) + 0.2


def masked(rng):
    """Masks that are known choose between values; relu by jnp.where, whose mask is not."""
    params, mask = dense(rng, 6, 8, 6), jnp.arange(6) % 2 == 0

    def relu(x):
        return jnp.where(x > 0, x, 0.0)

    def f(x):
        h = jnp.where(mask, mlp(params, x, relu), x)
        return h.at[..., 0].set(h[..., 1] - x[..., 0]).at[..., 3].add(2.0 * x[..., 5])

    return f


def residual(rng):
    """Blocks whose parameters are stacked, as lax.scan wants them, in a loop."""
    layers = [dense(rng, 5, 8, 5) for _ in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)

    def f(x):
        for k in range(3):
            x = x + mlp(jax.tree.map(lambda leaf, k=k: leaf[k], stacked), x, nn.silu)
        return x

    return f


def gaussian_bumps(rng):
    """Radial basis functions of every coordinate beside SiLU: one layer, exact at any spread."""
    base, spline, grid = dense(rng, 3, 4)[0], dense(rng, 12, 4)[0], jnp.linspace(-2.0, 2.0, 4)

    def f(x):
        bumps = jnp.exp(-(((x[..., None] - grid) / 1.3) ** 2)).reshape(*x.shape[:-1], -1)
        return nn.silu(x) @ base["w"] + bumps @ spline["w"] + spline["b"]

    return f


def named(rng):
    """A dictionary in, a dictionary out."""
    state, action, heads = dense(rng, 3, 8), dense(rng, 2, 8), dense(rng, 8, 8, 2)

    def f(batch):
        h = jnp.tanh(mlp(state, batch["state"], None) + mlp(action, batch["action"], None))
        return {"mean": mlp(heads, h, jnp.tanh), "pooled": h.mean(-1)}

    return f


def filled(rng, shapes):
    """A pytree with random numbers in the place of shapes: initialisers would each be compiled."""

    def fill(leaf):
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        return jnp.asarray(rng.uniform(-0.7, 0.7, leaf.shape)) if is_shape else leaf

    return jax.tree.map(fill, shapes)


def of_equinox(rng):
    """A module of one example, mapped over the batch."""
    import equinox as eqx

    class Block(eqx.Module):
        linear: eqx.nn.Linear
        inner: eqx.nn.MLP

        def __call__(self, x, *, key=None):
            h = self.linear(x)
            return h + self.inner(h)

    def net(key):
        inner = eqx.nn.MLP(6, 6, 8, depth=2, activation=nn.gelu, key=key)
        return eqx.nn.Sequential([Block(eqx.nn.Linear(4, 6, key=key), inner), eqx.nn.Linear(6, 2, key=key)])

    return jax.vmap(filled(rng, eqx.filter_eval_shape(net, jax.random.key(0))))


def of_flax(rng):
    """A compact module with a convolution and batch normalisation by running averages."""
    import flax.linen as linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            y = linen.Conv(3, (3, 3))(x)
            y = linen.BatchNorm(use_running_average=True)(y)
            y = linen.avg_pool(linen.relu(y), (2, 2), strides=(2, 2))
            y = linen.Dense(8)(y.reshape((y.shape[0], -1)))
            return linen.Dense(3)(linen.swish(y))

    variables = filled(rng, jax.eval_shape(Net().init, jax.random.key(0), jnp.zeros((1, 4, 4, 1))))
    variables["batch_stats"] = jax.tree.map(jnp.abs, variables["batch_stats"])  # variances
    return partial(Net().apply, variables)


def elementwise(name):
    return partial(perceptron, activation=getattr(nn, name))


CASES = {
    "pinn": Case(pinn, ((1,), (1,))),
    "surrogate": Case(surrogate, (4,)),
    "siren": Case(siren, (2,), 0.002),
    "nerf": Case(nerf, ((3,), (3,))),
    "resnet": Case(resnet, (4, 4, 1)),
    "mixer": Case(mixer, (4, 3)),
    "deeponet": Case(deeponet, (6,)),
    "masked": Case(masked, (6,)),
    "residual": Case(residual, (5,)),
    "gaussian bumps": Case(gaussian_bumps, (3,), 0.5),
    "named": Case(named, {"action": (2,), "state": (3,)}),
    "relu": Case(elementwise("relu"), (4,)),
    "leaky relu": Case(elementwise("leaky_relu"), (4,)),
    "gelu": Case(partial(perceptron, activation=partial(nn.gelu, approximate=False)), (4,)),
    "gelu tanh": Case(elementwise("gelu"), (4,)),
    "softplus": Case(elementwise("softplus"), (4,)),
    "equinox": Case(of_equinox, (4,)),
    "flax": Case(of_flax, (4, 4, 1)),
}
