"""Functions of JAX, whole: means and covariances of all their outputs jointly, against samples."""

from zlib import crc32

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import fastmoments as fm  # noqa: E402
from tests.architectures_jax import CASES  # noqa: E402
from tests.sampled_moments import CHUNK, OF_COV, OF_MEAN, excess, gaussian, sampled  # noqa: E402

jnp = jax.numpy


def leaf_shapes(shapes):
    """The shapes of all arguments, in JAX's order, and what puts leaves of these shapes together."""
    is_shape = lambda x: isinstance(x, tuple) and all(isinstance(n, int) for n in x)  # noqa: E731
    leaves, tree = jax.tree.flatten(shapes, is_leaf=is_shape)
    return leaves, tree


def inputs(case, x):
    """Return the function's argument of x (batch, n): an array, or a tuple or dictionary of some."""
    shapes, tree = leaf_shapes(case.shapes)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = jnp.split(x, ends, axis=1)
    return tree.unflatten([part.reshape(len(x), *shape) for part, shape in zip(parts, shapes, strict=True)])


def called(f, given):
    """A tuple is several arguments; an array or a dictionary is one."""
    return f(*given) if isinstance(given, tuple) else f(given)


def flat(output):
    return jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(output)], 1)


# XLA compiles for seconds a function: `make test` takes one of each kind
QUICK = ("pinn", "nerf", "resnet", "named", "equinox", "gelu")


@pytest.mark.parametrize("name", [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in CASES])
def test_moments_are_those_of_samples(name):
    if name in ("equinox", "flax"):
        pytest.importorskip(name)
    case = CASES[name]
    mu, cov = gaussian(sum(int(np.prod(shape)) for shape in leaf_shapes(case.shapes)[0]), case.sd)
    with jax.enable_x64(True):
        f = case.make(np.random.default_rng(crc32(name.encode())))
        points = jax.jit(lambda x: flat(called(f, inputs(case, x))))
        # one shape of all batches: XLA compiles for each
        truth = sampled(lambda x: np.asarray(points(np.resize(x, (CHUNK, len(mu)))))[: len(x)], mu, cov, CHUNK)
        mean, full = fm.nn.propagate(f, inputs(case, jnp.asarray(mu)[None]), jnp.asarray(cov)[None])
        assert excess(np.asarray(flat(mean))[0], full[0], truth, OF_MEAN, OF_COV, len(CASES)) <= 1.0
