"""Networks of images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from tests.architectures_jax.case import Case, dense, filled, mlp


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


def cnn(rng):
    """Two convolutions and maximum pooling, logarithms of probabilities."""
    kernels = [jnp.asarray(rng.normal(size=s) / 3.0) for s in ((3, 3, 1, 3), (2, 2, 3, 4))]
    head = dense(rng, 4, 8, 3)

    def f(x):
        for kernel in kernels:
            x = nn.relu(conv(x, kernel))
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return nn.log_softmax(mlp(head, x.reshape(x.shape[0], -1), nn.relu))

    return f


def mobilenet(rng):
    """Expand, depthwise with ReLU6, squeeze and excitation with hard functions, project, beside the input."""
    expand, project = dense(rng, 2, 4)[0], dense(rng, 4, 2)[0]
    kernel, (one, two) = jnp.asarray(rng.normal(size=(3, 3, 1, 4)) / 3.0), dense(rng, 4, 2, 4)

    def f(x):
        h = nn.relu6(x @ expand["w"] + expand["b"])
        h = lax.conv_general_dilated(
            h, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=4
        )
        h = nn.hard_swish(h)
        scale = nn.relu(h.mean((1, 2), keepdims=True) @ one["w"] + one["b"])
        h = h * nn.hard_sigmoid(scale @ two["w"] + two["b"])
        return (x + h @ project["w"]).mean((1, 2))

    return f


def unet(rng):
    """flax: pooling down, jax.image.resize up, a skip beside it."""
    import flax.linen as linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            skip = linen.relu(linen.Conv(2, (3, 3))(x))
            h = linen.max_pool(skip, (2, 2), strides=(2, 2))
            h = linen.relu(linen.Conv(3, (3, 3))(h))
            h = jax.image.resize(h, (*skip.shape[:3], h.shape[-1]), "nearest")
            return linen.Conv(1, (1, 1))(jnp.concatenate([skip, h], axis=-1))

    variables = filled(rng, jax.eval_shape(Net().init, jax.random.key(0), jnp.zeros((1, 4, 4, 1))))
    return partial(Net().apply, variables)


CASES = {
    "cnn": Case(cnn, (4, 4, 1)),
    "mobilenet": Case(mobilenet, (2, 2, 2)),
    "unet": Case(unet, (4, 4, 1), seed=5),  # of which no pool has two largest elements close to each other
    "resnet": Case(resnet, (4, 4, 1)),
    "flax": Case(of_flax, (4, 4, 1)),
}
