"""Networks with LayerNorm, RMSNorm, softmax and attention: by hand, by flax and by equinox."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import nn

from tests.architectures_jax.case import Case, dense, filled, mlp


def norm_parameters(rng, n):
    return {"scale": jnp.asarray(rng.uniform(0.5, 1.5, n)), "bias": jnp.asarray(0.3 * rng.normal(size=n))}


def layer_norm(params, x, eps=1e-5):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.var(x, axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + eps) * params["scale"] + params["bias"]


def layer_norm_by_rsqrt(params, x, eps=1e-6):
    """As Haiku and flax write it."""
    centred = x - x.mean(-1, keepdims=True)
    inverse = params["scale"] * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + eps)
    return inverse * centred + params["bias"]


def rms_norm(params, x, eps=1e-6):
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + eps) * params["scale"]


def tabular_resnet(rng):
    """LayerNorm, linear, ReLU, linear beside the input."""
    first, head, last = dense(rng, 4, 6)[0], dense(rng, 6, 2)[0], norm_parameters(rng, 6)
    blocks = [(norm_parameters(rng, 6), dense(rng, 6, 8, 6)) for _ in range(2)]

    def f(x):
        x = x @ first["w"] + first["b"]
        for norm, params in blocks:
            x = x + mlp(params, layer_norm(norm, x), nn.relu)
        return nn.relu(layer_norm(last, x)) @ head["w"] + head["b"]

    return f


def mixer(rng):
    """Feed-forwards of tokens and of channels behind LayerNorm."""
    tokens, channels = dense(rng, 4, 6, 4), dense(rng, 6, 8, 6)
    norms = [norm_parameters(rng, 6) for _ in range(3)]

    def f(x):
        h = layer_norm_by_rsqrt(norms[0], x)
        x = x + jnp.swapaxes(mlp(tokens, jnp.swapaxes(h, -1, -2), nn.gelu), -1, -2)
        x = x + mlp(channels, layer_norm_by_rsqrt(norms[1], x), nn.gelu)
        return jnp.mean(layer_norm_by_rsqrt(norms[2], x), axis=-2)

    return f


def split_heads(x, heads):
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def gpt2(rng):
    """A causal mask by jnp.where, heads by einsum, learned positions; embeddings come in."""
    qkv, out, feed = dense(rng, 4, 12)[0], dense(rng, 4, 4)[0], dense(rng, 4, 8, 4)
    norms, wpe = [norm_parameters(rng, 4) for _ in range(3)], jnp.asarray(rng.normal(size=(8, 4)))

    def attention(x):
        q, k, v = (split_heads(part, 2) for part in jnp.split(x @ qkv["w"] + qkv["b"], 3, axis=-1))
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1])
        mask = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        weights = nn.softmax(jnp.where(mask, logits, jnp.finfo(logits.dtype).min), axis=-1)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape) @ out["w"] + out["b"]

    def f(x):
        x = x + wpe[: x.shape[1]]
        x = x + attention(layer_norm(norms[0], x))
        x = x + mlp(feed, layer_norm(norms[1], x), nn.gelu)
        return layer_norm(norms[2], x)[:, -1]

    return f


def llama(rng):
    """RMSNorm, attention whose mask is added, SwiGLU: jax.nn.dot_product_attention has its softmax in float32."""
    q, k, v, out, gate, up = (dense(rng, 4, 4)[0]["w"] for _ in range(6))
    norms, down = [norm_parameters(rng, 4) for _ in range(2)], dense(rng, 4, 4)[0]["w"]

    def f(x):
        h = rms_norm(norms[0], x)
        queries, keys, values = (split_heads(h @ w, 2).swapaxes(1, 2) for w in (q, k, v))
        mask = jnp.triu(jnp.full((x.shape[1], x.shape[1]), -1e9), 1)
        weights = nn.softmax(queries @ keys.swapaxes(-1, -2) * 2.0**-0.5 + mask, axis=-1)
        x = x + (weights @ values).swapaxes(1, 2).reshape(x.shape) @ out
        h = rms_norm(norms[1], x)
        return (x + (nn.silu(h @ gate) * (h @ up)) @ down)[:, -1]

    return f


def vit(rng):
    """flax: patches by a convolution, a class token, MultiHeadDotProductAttention, a feed-forward."""
    import flax.linen as linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.Conv(4, (2, 2), strides=(2, 2))(x)
            x = x.reshape(x.shape[0], -1, 4)
            cls = self.param("cls", linen.initializers.zeros, (1, 1, 4))
            x = jnp.concatenate([jnp.tile(cls, (x.shape[0], 1, 1)), x], axis=1)
            x = x + self.param("positions", linen.initializers.normal(), (1, 3, 4))
            y = linen.LayerNorm()(x)
            x = x + linen.MultiHeadDotProductAttention(num_heads=2, deterministic=True)(y, y)
            y = linen.Dense(8)(linen.LayerNorm()(x))
            x = x + linen.Dense(4)(linen.gelu(y))
            return linen.Dense(2)(linen.LayerNorm()(x)[:, 0])

    variables = filled(rng, jax.eval_shape(Net().init, jax.random.key(0), jnp.zeros((1, 2, 4, 1))))
    return partial(Net().apply, variables)


def encoder(rng):
    """equinox: MultiheadAttention and LayerNorm of one example, mapped over tokens and over the batch."""
    import equinox as eqx

    class Layer(eqx.Module):
        attention: eqx.nn.MultiheadAttention
        norm1: eqx.nn.LayerNorm
        norm2: eqx.nn.LayerNorm
        feed: eqx.nn.MLP

        def __init__(self, key):
            self.attention = eqx.nn.MultiheadAttention(2, 4, key=key)
            self.norm1, self.norm2 = eqx.nn.LayerNorm(4), eqx.nn.LayerNorm(4)
            self.feed = eqx.nn.MLP(4, 4, 8, depth=1, activation=nn.relu, key=key)

        def __call__(self, x):
            x = jax.vmap(self.norm1)(x + self.attention(x, x, x))
            return jax.vmap(self.norm2)(x + jax.vmap(self.feed)(x)).mean(0)

    return jax.vmap(filled(rng, eqx.filter_eval_shape(Layer, jax.random.key(0))))


def pooled(rng):
    """Attention pooling: weights of instances by tanh and a softmax; log-sum-exp beside it."""
    score, head = dense(rng, 3, 8, 1), dense(rng, 3, 2)[0]

    def f(x):
        logits = mlp(score, x, jnp.tanh)
        z = jnp.sum(nn.softmax(logits, axis=1) * x, axis=1)
        return z @ head["w"] + head["b"], nn.logsumexp(logits, axis=(1, 2))

    return f


CASES = {
    "tabular resnet": Case(tabular_resnet, (4,)),
    "mixer layer norm": Case(mixer, (4, 6), sd=0.005),
    "gpt2": Case(gpt2, (3, 4)),
    "llama": Case(llama, (3, 4)),
    "vit": Case(vit, (2, 4, 1)),
    "encoder": Case(encoder, (3, 4)),
    "pooled": Case(pooled, (4, 3)),
}
