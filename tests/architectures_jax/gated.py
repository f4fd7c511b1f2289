"""Networks that multiply values: gates, flows, cells."""

import jax
import jax.numpy as jnp
from jax import lax, nn

from tests.architectures_jax.case import Case, dense, filled, mlp


def swiglu(rng):
    """A feed-forward of two projections, beside the input."""
    gate, up, down = dense(rng, 4, 8)[0], dense(rng, 4, 8)[0], dense(rng, 8, 4)[0]
    return lambda x: x + (nn.silu(x @ gate["w"]) * (x @ up["w"])) @ down["w"]


def glu(rng):
    first, second = dense(rng, 4, 8)[0], dense(rng, 4, 3)[0]
    return lambda x: nn.glu(x @ first["w"] + first["b"], axis=-1) @ second["w"] + second["b"]


def realnvp(rng):
    """Affine coupling by halves, and the logarithm of the determinant."""
    nets = [dense(rng, 2, 8, 4) for _ in range(2)]

    def f(x):
        log_det = 0.0
        for params in nets:
            x1, x2 = jnp.split(x, 2, axis=-1)
            s, t = jnp.split(mlp(params, x1, jnp.tanh), 2, axis=-1)
            s = jnp.tanh(s)
            x, log_det = jnp.concatenate([x2 * jnp.exp(s) + t, x1], axis=-1), log_det + s.sum(-1)
        return x, log_det

    return f


def deeponet_product(rng):
    """Branch and trunk both depend on inputs."""
    branch, trunk = dense(rng, 4, 8, 6), dense(rng, 2, 8, 6)

    def f(u, y):
        return jnp.sum(mlp(branch, u, jnp.tanh) * mlp(trunk, y, jnp.tanh), axis=-1)

    return f


def lstm(rng):
    """A cell by hand, unrolled, all gates of one matrix."""
    w, u, head = dense(rng, 2, 12)[0], dense(rng, 3, 12)[0], dense(rng, 3, 2)[0]

    def f(x):
        h = c = jnp.zeros((x.shape[0], 3), x.dtype)
        for t in range(x.shape[1]):
            i, j, k, o = jnp.split(x[:, t] @ w["w"] + h @ u["w"] + w["b"], 4, axis=-1)
            c = nn.sigmoid(j) * c + nn.sigmoid(i) * jnp.tanh(k)
            h = nn.sigmoid(o) * jnp.tanh(c)
        return h @ head["w"] + head["b"]

    return f


def gru_scan(rng):
    """equinox: a cell of one example by lax.scan, mapped over the batch."""
    import equinox as eqx

    cell = filled(rng, eqx.filter_eval_shape(eqx.nn.GRUCell, 2, 3, key=jax.random.key(0)))
    head = dense(rng, 3, 2)[0]

    def one(x):
        h, _ = lax.scan(lambda h, x_t: (cell(x_t, h), None), jnp.zeros(3, x.dtype), x)
        return h @ head["w"] + head["b"]

    return jax.vmap(one)


def maxout(rng):
    """The largest of three affine pieces, and jnp.maximum of two."""
    first, second = dense(rng, 4, 12)[0], dense(rng, 4, 4)[0]

    def f(x):
        h = (x @ first["w"] + first["b"]).reshape(*x.shape[:-1], 4, 3).max(axis=-1)
        h = h @ second["w"] + second["b"]
        return jnp.maximum(h[..., :2], h[..., 2:])

    return f


CASES = {
    "swiglu": Case(swiglu, (4,)),
    "glu": Case(glu, (4,)),
    "realnvp": Case(realnvp, (4,)),
    "deeponet product": Case(deeponet_product, ((4,), (2,))),
    "lstm": Case(lstm, (2, 2)),
    "gru scan": Case(gru_scan, (2, 2)),
    "maxout": Case(maxout, (4,)),
}
