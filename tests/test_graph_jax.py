"""`propagate` with functions of JAX: affine maps by their matrices, sin in closed form, and what is refused."""

from functools import cache, partial

import numpy as np
import pytest
from scipy.stats import norm

jax = pytest.importorskip("jax")

import fastmoments as fm  # noqa: E402
from tests.sampled_moments import gaussian  # noqa: E402

jnp, lax, nn = jax.numpy, jax.lax, jax.nn
propagate = fm.nn.propagate
# matrices of at most 18 x 6 with entries of order 1: some tens of roundings
EXACT = dict(rtol=1e-13, atol=1e-13)
pytestmark = pytest.mark.usefixtures("jax_double_precision")
RNG = np.random.default_rng(0)
A, B, BIAS = RNG.normal(size=(4, 6)), RNG.normal(size=(6, 3)), RNG.normal(size=3)
LOWER = np.tril(RNG.normal(size=(3, 3))) + 2.0 * np.eye(3)
KERNEL = RNG.normal(size=(2, 1, 3))  # (out, in, width)


def given(n=6):
    return tuple(map(jnp.asarray, gaussian(n, 0.7)))


def conv(image, kernel):
    return lax.conv_general_dilated(image, kernel, (1,), "SAME", dimension_numbers=("NCH", "OIH", "NCH"))


@jax.custom_vjp
def doubled(x):
    return 2.0 * x


doubled.defvjp(lambda x: (2.0 * x, None), lambda _, bar: (2.0 * bar,))


def stacked_loop(x):
    """A loop whose steps' values are outputs too, backwards."""
    carry, parts = lax.scan(lambda c, w: (0.5 * c + w * x[0], c[:2]), x, jnp.arange(3.0), reverse=True)
    return jnp.concatenate([carry, parts.ravel()])


AFFINE = {
    "shapes": lambda x: jnp.squeeze(x.reshape(2, 1, 3).transpose(2, 1, 0)[::-1], 1),
    "joined": lambda x: jnp.concatenate([jnp.pad(x[:2], 1, constant_values=3.0), jnp.stack([x, x[::-1]])[:, 1]]),
    "chosen": lambda x: jnp.where(np.arange(6) % 2 == 0, x, -x[::-1])[np.array([0, 5, 2, 2])],
    "set": lambda x: x.at[1].set(x[3] + 1.0).at[np.array([0, 0])].add(x[4:]).at[5].set(7.0),
    "sliced": lambda x: lax.dynamic_update_slice(x, lax.dynamic_slice(x, (1,), (2,)), (3,)),
    "split": lambda x: jnp.add(*jnp.split(x, 2)),
    "sums": lambda x: jnp.concatenate([jnp.cumsum(x), x.reshape(2, 3).mean(1), x.sum()[None]]),
    "windows": lambda x: lax.reduce_window(x, 0.0, lax.add, (2,), (1,), "SAME"),
    "weights": lambda x: (A @ x, x @ B + BIAS, jnp.einsum("ij,jk->ik", A[:, :2], x.reshape(2, 3))),
    "convolutions": lambda x: (conv(x[None, None], KERNEL), conv(np.ones((1, 1, 4)), x.reshape(2, 1, 3))),
    "solved": lambda x: jax.scipy.linalg.solve_triangular(LOWER, x[:3], lower=True) - 2.0,
    "less": lambda x: x.at[np.array([1, 1, 2])].subtract(x[:3]),
    "scaled": lambda x: -(x * np.arange(6.0) - x / (1.0 + np.arange(6.0))) / 3.0 + 2.0 * x - 1.0,
    "of one number": lambda x: x - x.sum() + x[0] * np.arange(6.0),
    "calls": lambda x: jax.checkpoint(jax.jit(doubled))(lax.stop_gradient(x)) + jnp.copy(x),
    "scan": stacked_loop,
    "for": lambda x: lax.fori_loop(0, 3, lambda k, c: 0.5 * c + k * x, x),
    "while": lambda x: lax.while_loop(lambda c: c[1] < 3, lambda c: (0.5 * c[0] + x[0], c[1] + 1), (x, 0))[0],
    "cond": lambda x: lax.cond(jnp.sum(jnp.arange(3)) == 3, lambda c: 3.0 * c, lambda c: c, x),
    "masked": lambda x: 3.0 - x * (jnp.arange(6) > 2) / (1.0 + np.arange(6.0)),
    "dead code": lambda x: (jnp.sort(x), x)[1],
}


def flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


# Where no value meets another that it is correlated with, which the diagonal leaves out
ONCE = "shapes joined chosen sliced split sums windows weights convolutions solved cond masked".split()


@cache
def of_affine():
    """Moments, variances and values at 0 and the unit vectors of all functions: jit compiles them together."""
    mu, cov = given()

    def found(mu, cov):
        full = {name: propagate(f, mu, cov) for name, f in AFFINE.items()}
        return full, {name: propagate(AFFINE[name], mu, jnp.diag(cov), covariance="diagonal") for name in ONCE}

    units = jnp.concatenate([jnp.zeros((1, 6)), jnp.eye(6)])
    values = jax.jit(lambda x: {name: jax.vmap(lambda row, f=f: flat(f(row)))(x) for name, f in AFFINE.items()})
    return *jax.jit(found)(mu, cov), values(units)


def matrix_of(name):
    """f(0), and the weights (m, 6)."""
    values = np.asarray(of_affine()[2][name])
    return values[0], (values[1:] - values[0]).T


@pytest.mark.feature("JAX", "networks: fm.propagate")
@pytest.mark.parametrize("name", AFFINE)
def test_what_is_affine_is_exact(name):
    (mu, cov), (constant, matrix) = given(), matrix_of(name)
    mean, full = of_affine()[0][name]
    np.testing.assert_allclose(flat(mean), constant + matrix @ mu, **EXACT)
    np.testing.assert_allclose(full, matrix @ cov @ matrix.T, **EXACT)
    assert jax.tree.map(jnp.shape, mean) == jax.tree.map(jnp.shape, jax.eval_shape(AFFINE[name], mu))


@pytest.mark.parametrize("name", ONCE)
def test_variances_go_by_the_squares_of_the_weights(name):
    _, cov = given()
    var = of_affine()[1][name].var
    np.testing.assert_allclose(flat(var), matrix_of(name)[1] ** 2 @ jnp.diag(cov), **EXACT)


def sin_moments(mu, cov, xp=np):
    """Of sin(X), by the characteristic function of X."""
    mu, cov = xp.asarray(mu), xp.asarray(cov)
    var = xp.diag(cov)
    mean = xp.exp(-var / 2.0) * xp.sin(mu)
    sums = -(var[:, None] + var) / 2.0
    less, more = (xp.exp(sums + s * cov) * xp.cos(mu[:, None] - s * mu) / 2.0 for s in (1.0, -1.0))
    return mean, less - more - mean[:, None] * mean


def sin_layer(weights, x):
    return jnp.sin(weights @ x + 0.1)


def closed(weights, mu, cov, xp=np):
    """The moments of sin_layer."""
    weights, mu, cov = map(xp.asarray, (weights, mu, cov))
    return sin_moments(weights @ mu + 0.1, weights @ cov @ weights.T, xp)


# a mean and a covariance of at most 6 x 6, of exponentials of order 1
CLOSE = dict(rtol=1e-12, atol=1e-13)


def assert_close(found, wanted, **tolerance):
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, two, **(tolerance or CLOSE))


def test_a_batch_is_a_loop():
    """Of a function of a batch, with one covariance for each input and with one for all; and an empty batch."""
    pairs = [gaussian(6, 0.5, seed) for seed in range(3)]
    mu, cov = (jnp.asarray(np.stack(x)) for x in zip(*pairs, strict=True))
    f = lambda x: jnp.sin(x @ A.T + 0.1)  # noqa: E731
    for covs in (cov, cov[0]):
        each = [closed(A, m, c) for m, c in zip(mu, np.broadcast_to(covs, cov.shape), strict=True)]
        assert_close(propagate(f, mu, covs), map(np.stack, zip(*each, strict=True)))
    mean, full = propagate(f, mu[:0], cov[:0])
    assert mean.shape == (0, 4) and full.shape == (0, 4, 4)


@pytest.mark.feature("JAX", "networks: vmap and functional transforms")
def test_vmap_is_a_loop():
    """Of the distribution, and of what the function closes over."""
    pairs = [gaussian(6, 0.5, seed) for seed in range(2)]
    mu, cov = (jnp.asarray(np.stack(x)) for x in zip(*pairs, strict=True))
    weights = jnp.stack([A, 2.0 * A])
    found = jax.vmap(lambda w, m, c: propagate(partial(sin_layer, w), m, c))(weights, mu, cov)
    each = [closed(w, m, c) for w, m, c in zip(weights, mu, cov, strict=True)]
    assert_close(found, map(np.stack, zip(*each, strict=True)))


@pytest.mark.feature("JAX", "networks: gradients")
def test_gradients_under_jit():
    """By the weights, which the function closes over, and by mu and cov."""
    bar = jnp.asarray(RNG.normal(size=(4, 4)))

    def loss(moments):
        return lambda w, mu, cov: (lambda mean, full: mean @ bar[0] + (full * bar).sum())(*moments(w, mu, cov))

    mu, cov = given()
    ours = loss(lambda w, m, c: propagate(lambda x: sin_layer(w, x), m, c))
    found = jax.jit(jax.grad(ours, (0, 1, 2)))(jnp.asarray(A), mu, cov)
    # the upper triangle of cov is what is read
    wanted = jax.grad(loss(lambda w, m, c: closed(w, m, jnp.triu(c) + jnp.triu(c, 1).T, jnp)), (0, 1, 2))
    assert_close(found, wanted(jnp.asarray(A), mu, cov))


def test_values_that_meet_again():
    """relu(x) + relu(x) is 2 relu(x), and relu(x) - relu(-x) is x."""
    mu, cov = given(3)
    m, var = np.asarray(mu), np.diag(cov)
    above, density = norm.cdf(m / np.sqrt(var)), np.sqrt(var) * norm.pdf(m / np.sqrt(var))
    first, second = m * above + density, (m * m + var) * above + m * density  # moments of relu(X)
    both = propagate(lambda x: (nn.relu(x) + jnp.where(x > 0, x, 0.0), nn.relu(x) - nn.relu(-x)), mu, cov)
    assert_close(both.mean, [2.0 * first, mu], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.diag(both.cov)[:3], 4.0 * (second - first**2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(both.cov[3:, 3:], cov, rtol=1e-12, atol=1e-12)


def test_single_precision():
    mu, cov = given()
    weights = jnp.float32(A)
    with jax.enable_x64(False):
        found = propagate(lambda x: sin_layer(weights, x), jnp.float32(mu), jnp.float32(cov))
        assert {x.dtype for x in found} == {np.dtype("float32")}
    # sums of 36 products of order 1, in roundings of 6e-8, on angles of some radians
    assert_close(found, closed(jnp.asarray(A), mu, cov), rtol=0.0, atol=2e-5)


def test_one_input_of_one_element():
    mu, cov = given(1)
    assert_close(propagate(jnp.sin, mu, cov), sin_moments(mu, cov))


def network(x):
    return A[:2, :4] @ jnp.sin(A @ x) * 2.0 + 1.0


@pytest.mark.feature("JAX", "networks: variances alone")
def test_variances_alone():
    """Those of independent values, layer by layer; and full covariance from the last layer of weights on."""
    mu, cov = given()
    var = jnp.diag(cov)
    inner, full = sin_moments(A @ np.asarray(mu), np.diag(A**2 @ np.asarray(var)))
    weights, variances = 2.0 * A[:2, :4], np.diag(full)
    mean, marginal = propagate(network, mu, var, "diagonal")
    assert_close((mean, marginal), (weights @ inner + 1.0, weights**2 @ variances))
    assert_close(propagate(network, mu, var, "hybrid"), (mean, weights @ np.diag(variances) @ weights.T))


@pytest.mark.feature("JAX", "networks: bounds")
def test_the_bound_of_an_affine_map_is_0():
    mu, cov = given()
    assert jax.jit(lambda m, c: propagate(lambda x: (A @ x, x), m, c, bound=True).bound)(mu, cov) == 0.0


def test_jit_compiles_once_and_leaks_nothing():
    calls = []

    def f(x):
        calls.append(None)
        return jnp.sin(x @ A.T + 0.1)

    jitted = jax.jit(lambda m, c: propagate(f, m[None], c[None]))
    mu, cov = given()
    with jax.checking_leaks():
        first = jitted(mu, cov)
    calls_of_one = len(calls)
    assert_close((x[0] for x in first), closed(A, mu, cov))
    assert_close((x[0] for x in jitted(-mu, 2.0 * cov)), closed(A, -mu, 2.0 * cov))
    assert len(calls) == calls_of_one


@pytest.mark.feature("JAX", "networks: several inputs and outputs")
def test_trees_of_inputs_and_outputs():
    """Dictionaries in the order of their keys, which is JAX's own: jit gives no other."""
    mu, cov = given()
    parts = {"b": (mu[:2], mu[2:5]), "a": mu[5:]}
    order = np.array([5, 0, 1, 2, 3, 4])

    def f(tree):
        return {"z": tree["a"] * 2.0, "y": [tree["b"][1], tree["b"][0]]}

    full = cov[np.ix_(order, order)]
    for call in (propagate, jax.jit(propagate, static_argnums=0)):
        mean, found = call(f, parts, full)
        assert jax.tree.structure(mean) == jax.tree.structure(f(parts))
        assert_close(jax.tree.leaves(mean), jax.tree.leaves(f(parts)))
        at, scale = np.array([2, 3, 4, 0, 1, 5]), np.array([1.0] * 5 + [2.0])
        np.testing.assert_allclose(found, cov[np.ix_(at, at)] * np.outer(scale, scale), **EXACT)
    # positional arguments, and named ones
    named = propagate(lambda one, two: one[:1] - two, {"one": mu[:5], "two": mu[5:]}, cov)
    assert_close(named, propagate(lambda one, two: one[:1] - two, (mu[:5], mu[5:]), cov))
    np.testing.assert_allclose(named.cov, cov[:1, :1] + cov[5:, 5:] - 2.0 * cov[:1, 5:], **EXACT)
