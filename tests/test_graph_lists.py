"""fm.propagate of lists of layers and of scikit-learn's models, against quadrature of their definitions."""

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastmoments as fm
from fastmoments.compare import Affine, Residual

MU, COV = np.array([0.3, -0.2]), np.array([[0.5, 0.2], [0.2, 0.4]])
EPS = {np.float32: float(np.finfo(np.float32).eps), np.float64: float(np.finfo(np.float64).eps)}


def integrated(function, mu, cov, nodes=40):
    """Mean and covariance of a function of rows, entire and of two inputs: Gauss-Hermite, to rounding."""
    x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    return weighted(function(mu + points @ np.linalg.cholesky(cov).T), weights)


def weighted(values, weights):
    mean = weights @ values
    return mean, (values - mean).T * weights @ (values - mean)


def on_a_grid(function, mu, var):
    """Mean and covariance of a function of one input with kinks: the trapezoidal rule, to 1e-9 of its slopes."""
    z = np.linspace(-9.0, 9.0, 200_001)
    weights = np.exp(-0.5 * z * z)
    values = function((mu + np.sqrt(var) * z)[:, None])
    return weighted(values.reshape(len(z), -1), weights / weights.sum())


def one_layer(dtype=np.float64):
    rng = np.random.default_rng(3)
    first = Residual("sin", *(rng.standard_normal(shape).astype(dtype) for shape in ((3, 2), 3, (3, 2), 3)))
    return [first, Affine(*(rng.standard_normal(shape).astype(dtype) for shape in ((2, 3), 2)))]


def value_of(layers, x):
    (_, A, b, C, d), (weight, bias) = layers
    return (np.sin(x @ A.T + b) + x @ C.T + d) @ weight.T + bias


def converted(layers, function):
    fields = [{name: function(x) for name, x in layer._asdict().items() if hasattr(x, "ndim")} for layer in layers]
    return [layer._replace(**own) for layer, own in zip(layers, fields, strict=True)]


@contextmanager
def arrays_of(library):
    """What makes an array of NumPy's, in a context in which JAX has float64."""
    if library == "numpy":
        yield np.asarray
    elif library == "torch":
        yield pytest.importorskip("torch").as_tensor
    elif library == "dask":
        yield pytest.importorskip("dask.array").asarray
    else:
        jax = pytest.importorskip("jax")
        with jax.enable_x64(True):
            yield jax.numpy.asarray


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.feature("NumPy", "networks: fm.propagate")
def test_one_layer_is_exact(library, dtype):
    mu, cov = MU.astype(dtype), COV.astype(dtype)
    with arrays_of(library) as convert:
        found = fm.propagate(converted(one_layer(dtype), convert), convert(mu), convert(cov))
        assert type(found.mean) is type(convert(mu))
        assert found.mean.dtype == convert(mu).dtype
        found = [np.asarray(x) for x in found]
    exact = converted(one_layer(dtype), np.float64)
    mean, full = integrated(lambda x: value_of(exact, x), mu.astype(float), cov.astype(float))
    # products of a few numbers of size 1 to 10
    assert_allclose(found[0], mean, rtol=0, atol=100 * EPS[dtype])
    assert_allclose(found[1], full, rtol=0, atol=100 * EPS[dtype] * np.abs(full).max())
    assert_array_equal(found[1], found[1].T)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_is_its_rows(batch):
    rng = np.random.default_rng(0)
    layers, mu, scale = one_layer(), rng.standard_normal((batch, 2)), rng.uniform(0.5, 1.0, (batch, 1, 1))
    found = fm.propagate(layers, mu, scale * COV)
    shared = fm.propagate(layers, mu, COV)
    assert found.cov.shape == shared.cov.shape == (batch, 2, 2)
    for k in range(batch):
        mean, full = integrated(lambda x: value_of(layers, x), mu[k], scale[k] * COV)
        assert_allclose(found.mean[k], mean, rtol=1e-13)
        assert_allclose(found.cov[k], full, rtol=1e-12)
        assert_allclose(shared.cov[k], integrated(lambda x: value_of(layers, x), mu[k], COV)[1], rtol=1e-12)


def test_no_inputs_and_numbers():
    layers = one_layer()
    assert fm.propagate(layers, np.zeros((0, 2)), COV).cov.shape == (0, 2, 2)
    found = fm.propagate([Affine([[1.0, 2.0]])], [1, 1], [[1, 0], [0, 1]])
    assert_array_equal(found.mean, [3.0])
    assert_array_equal(found.cov, [[5.0]])
    single = fm.propagate([Residual("relu", [[1.0]])], [0.0], [[1.0]])
    assert_allclose(single.mean, [1 / np.sqrt(2 * np.pi)], rtol=1e-15)
    assert_allclose(single.cov, [[0.5 - 0.5 / np.pi]], rtol=1e-15)


def test_float16_is_computed_in_float32():
    layers = [Affine(np.full((1, 100), 0.1, np.float16)), Affine(np.full((1, 1), 10.0, np.float16))]
    tenth = float(np.float16(0.1))
    found = fm.propagate(layers, np.ones(100, np.float16), np.eye(100, dtype=np.float16))
    assert found.mean.dtype == found.cov.dtype == np.float16
    # rounded once
    assert_array_equal(found.mean, np.float16([1000 * tenth]))
    assert_array_equal(found.cov, np.float16([[1e4 * tenth**2]]))


@pytest.mark.feature("NumPy", "networks: variances alone")
def test_diagonal_takes_values_as_uncorrelated():
    layers, var = one_layer(), np.diag(COV)
    (_, A, b, C, d), (weight, bias) = layers
    inner, spread = A @ MU + b, A**2 @ var
    # of sin: E sin = sin(m) exp(-v / 2), E sin^2 = (1 - cos(2 m) exp(-2 v)) / 2
    mean = np.sin(inner) * np.exp(-spread / 2)
    summed = (1 - np.cos(2 * inner) * np.exp(-2 * spread)) / 2 - mean**2 + C**2 @ var
    found = fm.propagate(layers, MU, var, "diagonal")
    assert_allclose(found.mean, weight @ (mean + C @ MU + d) + bias, rtol=1e-13)
    assert_allclose(found.var, weight**2 @ summed, rtol=1e-13)
    # the last layer of weights reads three values that count as uncorrelated
    found = fm.propagate(layers, MU, var, "hybrid")
    assert_allclose(found.cov, weight * summed @ weight.T, rtol=1e-13)


@pytest.mark.feature("NumPy", "networks: variances, then full covariance")
def test_hybrid_is_full_from_the_last_residual_layer_on():
    first, _ = one_layer()
    scales = np.array([[2.0, 0.0], [0.0, -1.0]])
    found = fm.propagate([Affine(scales), first, Affine(np.eye(3))][:2], MU, np.diag(COV), "hybrid")
    layers = [first, Affine(np.eye(3), np.zeros(3))]
    mean, full = integrated(lambda x: value_of(layers, x), scales @ MU, scales**2 * np.diag(COV))
    assert_allclose(found.mean, mean, rtol=1e-13)
    assert_allclose(found.cov, full, rtol=1e-12)


@pytest.mark.feature("NumPy", "networks: bounds")
def test_the_bound_of_one_relu():
    """Sqrt(2 R), R = K - 1/4 with K = 1/2 - 1 / (2 pi), which no line through relu explains; 0 without one."""
    found = fm.propagate([Affine([[2.0]]), Residual(fm.ReLU(), [[0.5]])], np.zeros(1), np.eye(1), bound=True)
    assert_allclose(found.bound, np.sqrt(2 * (0.25 - 0.5 / np.pi)), rtol=1e-14)
    assert fm.propagate([Affine([[2.0]])], np.zeros((3, 1)), np.eye(1), bound=True).bound.tolist() == [0, 0, 0]


def chained(layers, mu, cov):
    """The public function of every layer, one after the other."""
    for layer in layers:
        if isinstance(layer, Affine):
            mu, cov = fm.affine_moments(mu, cov, *layer)
        else:
            mu, cov = fm.residual_moments(layer.activation, mu, cov, *layer[1:])
    return mu, cov


def deep():
    rng = np.random.default_rng(5)
    arrays = [0.5 * rng.standard_normal(shape) for shape in ((4, 2), 4, (4, 2), 4, (4, 4), (3, 4), 3, (2, 3))]
    A, b, C, d, square, short, offset, last = arrays
    return [
        Residual(fm.ReLU(), A, b, C, d),
        Residual("tanh", square, None, "identity", None),
        Residual("gelu", short, None, None, offset),
        Affine(last),
    ]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_analytic_is_its_layers_one_by_one(batch):
    rng = np.random.default_rng(1)
    mu, cov = rng.standard_normal((*batch, 2)), COV * rng.uniform(0.5, 1.0, (*batch, 1, 1))
    found = fm.compare.analytic(deep(), mu, cov)
    mean, full = chained(deep(), mu, cov)
    assert found.cov.shape == (*batch, 2, 2)
    assert_allclose(found.mean, mean, rtol=0, atol=1e-14)
    assert_allclose(found.cov, full, rtol=0, atol=1e-14)


@pytest.mark.parametrize("library", ["torch", "jax", "dask"])
def test_analytic_is_that_of_numpy(library):
    with arrays_of(library) as convert:
        found = fm.compare.analytic(converted(one_layer(), convert), convert(MU), convert(COV))
        assert type(found.mean) is type(convert(MU))
        found = [np.asarray(x) for x in found]
    mean, full = chained(one_layer(), MU, COV)
    # of numbers up to 20
    assert_allclose(found[0], mean, rtol=0, atol=1e-14)
    assert_allclose(found[1], full, rtol=1e-14, atol=1e-14)


def test_gradients_along_inputs_and_weights():
    torch = pytest.importorskip("torch")
    layers = converted(one_layer(), torch.as_tensor)
    (_, *first), last = layers
    given = [torch.as_tensor(x).requires_grad_() for x in (MU, COV, *first, *last)]

    def function(mu, cov, A, b, C, d, weight, bias):
        cov = 0.5 * (cov + cov.mT)
        return tuple(fm.propagate([Residual("sin", A, b, C, d), Affine(weight, bias)], mu, cov))

    # differences with gradcheck's own step and tolerance
    assert torch.autograd.gradcheck(function, given)


def test_jit():
    jax = pytest.importorskip("jax")
    with arrays_of("jax") as convert:
        layers = converted(one_layer(), convert)
        found = jax.jit(lambda mu, cov: fm.propagate(layers, mu, cov))(convert(MU), convert(COV))
    mean, full = integrated(lambda x: value_of(one_layer(), x), MU, COV)
    assert_allclose(found.mean, mean, rtol=1e-13)
    assert_allclose(found.cov, full, rtol=1e-12)


def test_inputs_are_left_alone():
    layers, mu, cov = one_layer(), MU.copy(), COV.copy()
    arrays = [mu, cov, *layers[0][1:], *layers[1]]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    fm.propagate(layers, mu, cov)
    fm.propagate(layers, mu, np.diag(cov), "diagonal")
    for array, copy in zip(arrays, copies, strict=True):
        assert_array_equal(array, copy)


def test_a_list_imports_no_library():
    code = (
        "import sys, numpy as np, fastmoments as fm; from fastmoments.layer_lists import Affine; "
        "fm.propagate([Affine(np.eye(2))], np.zeros(2), np.eye(2)); "
        "sys.exit(', '.join({'sklearn', 'torch', 'jax'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


EYE, LIST = np.eye(2), [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("error", "message", "model", "mu", "cov"),
    [
        (ValueError, "layers: expected at least one", [], np.zeros(2), EYE),
        (TypeError, r"layers\[0\]: expected Affine or Residual, got ndarray", [EYE], np.zeros(2), EYE),
        (ValueError, r"layers\[1\]\.A: expected shape \(m, 2\)", [Affine(EYE), Residual("relu", [[1.0]])], MU, EYE),
        (ValueError, r"layers\[0\]\.d: expected", [Residual("relu", EYE, d=np.ones(3))], MU, EYE),
        (ValueError, r"layers\[0\]\.C: .*square", [Residual("relu", EYE, C="skip")], MU, EYE),
        (TypeError, r"mu is float32 but layers\[0\]\.weight is float64", [Affine(EYE)], MU.astype("f4"), LIST),
        (ValueError, r"mu: expected shape \(n,\) or \(batch, n\), got", [Affine(EYE)], EYE[None], np.eye(4)),
        (TypeError, "mu: expected one array, got 2", [Affine(EYE)], (MU[None], MU[None]), np.eye(4)),
        (ValueError, "expected cov", [Affine(EYE)], MU, np.eye(3)),
        (TypeError, "model: for NumPy arrays expected a list .* got Affine", Affine(EYE), MU, EYE),
        (ValueError, "layers.0.: full covariance of 5000 features", [Affine(np.ones((5000, 1)))], [0.0], [[1.0]]),
    ],
)  # fmt: skip
def test_errors(error, message, model, mu, cov):
    with pytest.raises(error, match=message):
        fm.propagate(model, mu, cov)


def test_libraries_are_not_mixed():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"mu is from torch but layers\[0\]\.weight is from numpy"):
        fm.propagate([Affine(EYE)], torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))


def test_there_are_no_networks_of_dask_arrays():
    da = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match="mu: there are no networks of dask arrays"):
        fm.propagate([Affine(EYE)], da.zeros(2), da.eye(2))
