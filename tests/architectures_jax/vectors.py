"""Networks of one vector, by hand and by equinox; and a mixer without norms."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import nn

from tests.architectures_jax.case import Case, dense, filled, mlp, perceptron


def mixer(rng):
    """Feed-forwards of tokens and of channels in turn."""
    tokens, channels = dense(rng, 4, 6, 4), dense(rng, 3, 8, 3)

    def f(x):
        x = x + jnp.swapaxes(mlp(tokens, jnp.swapaxes(x, 1, 2), nn.gelu), 1, 2)
        x = x + mlp(channels, x, nn.gelu)
        return jnp.mean(x, axis=1)

    return f


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


def elementwise(name):
    return partial(perceptron, activation=getattr(nn, name))


CASES = {
    "pinn": Case(pinn, ((1,), (1,))),
    "surrogate": Case(surrogate, (4,)),
    "siren": Case(siren, (2,), 0.002),
    "nerf": Case(nerf, ((3,), (3,))),
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
}
