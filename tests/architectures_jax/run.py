"""What a case's function makes of its Gaussian input: by samples, and by the package. JAX must have float64."""

import jax
import jax.numpy as jnp
import numpy as np

import fastmoments as fm
from tests.sampled_moments import CHUNK, gaussian, sampled


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


def distribution(case):
    """Mean and covariance of the elements of all arguments."""
    return gaussian(sum(int(np.prod(shape)) for shape in leaf_shapes(case.shapes)[0]), case.sd)


def truth_of(case, count=CHUNK, seed=1):
    """Moments of the function by 2 count samples and by the function alone."""
    mu, cov = distribution(case)
    f = case.make(np.random.default_rng(case.seed))
    points = jax.jit(lambda x: flat(called(f, inputs(case, x))))
    # one shape of all batches: XLA compiles for each
    return sampled(lambda x: np.asarray(points(np.resize(x, (CHUNK, len(mu)))))[: len(x)], mu, cov, count, seed)


def propagated(case):
    """Return the package's moments, (m,) and (m, m)."""
    mu, cov = distribution(case)
    mean, full = fm.nn.propagate(
        case.make(np.random.default_rng(case.seed)), inputs(case, jnp.asarray(mu)[None]), jnp.asarray(cov)[None]
    )
    return np.asarray(flat(mean))[0], np.asarray(full[0])
