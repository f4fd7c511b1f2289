"""Features that users expect of a framework beside values and derivatives."""

import copy
import pickle
from dataclasses import fields

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels.catalogue import CATALOGUE
from tests.rows import EXAMPLES
from tests.test_inputs import gaussian

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
copies = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


def cube(x):
    return x**3


OBJECTS = [row.activation(**EXAMPLES.get(row.name, {})) for row in CATALOGUE]
OBJECTS += [fm.NPN(tau=np.array([0.5, 2.0])), fm.Custom(cube, tol=1e-8), fm.Custom(np.abs, kinks=(0.0,))]


@pytest.mark.feature("NumPy", "pickle, copy, deepcopy")
@copies
@pytest.mark.parametrize("activation", OBJECTS, ids=lambda a: type(a).__name__)
def test_activations(activation, copied):
    other = copied(activation)
    assert type(other) is type(activation)
    for field in fields(activation):
        assert np.array_equal(getattr(other, field.name), getattr(activation, field.name))


@pytest.mark.feature("NumPy", "pickle, copy, deepcopy")
@copies
def test_results_of_numpy(copied):
    result = fm.relu_moments(*gaussian(3))
    other = copied(result)
    assert type(other) is fm.Moments and all(map(np.array_equal, other, result))


@pytest.mark.feature("PyTorch", "pickle, copy, deepcopy")
@copies
def test_results_and_modules_of_torch(copied):
    torch = pytest.importorskip("torch")
    mu, cov = map(torch.from_numpy, gaussian(3, np.float32))
    result = fm.relu_moments(mu, cov)
    other = copied(result)
    assert type(other) is fm.Moments and all(map(torch.equal, other, result))
    for module in (fm.nn.BayesLinear(3, 2), fm.nn.Activation(fm.NPN(tau=0.5), learnable=("tau",), features=3)):
        twin = copied(module)
        for one, two in zip(module.marginals(mu, cov.diagonal()), twin.marginals(mu, cov.diagonal()), strict=True):
            assert torch.equal(one, two)


@pytest.mark.feature("JAX", "pickle, copy, deepcopy")
@copies
def test_results_of_jax(copied):
    jax = pytest.importorskip("jax")
    result = fm.relu_mean(jax.numpy.zeros(3), jax.numpy.ones(3))
    marginals = fm.Marginals(result, result)
    other = copied(marginals)
    assert type(other) is fm.Marginals and np.array_equal(other.mean, result)


@pytest.mark.feature("PyTorch", "torch.library.opcheck")
def test_torch_accepts_the_operators():
    """torch.library.opcheck: schema, autograd registration, fake tensors, compilation with dynamic shapes."""
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch_ops

    mu, cov = (torch.from_numpy(x).requires_grad_() for x in gaussian(2))
    torch.library.opcheck(torch_ops.elementwise, ("relu", "mean", [mu, cov.diagonal().detach().clone()]))
    torch.library.opcheck(torch_ops.moments, ("relu", mu, cov, []))
    bars = mu.detach(), cov.detach()
    torch.library.opcheck(torch_ops.moments_vjp, ("relu", *bars, *bars, []))


@pytest.mark.feature("PyTorch", "meta tensors")
def test_torch_meta_tensors_have_shapes_alone():
    torch = pytest.importorskip("torch")
    mu, cov = torch.zeros(4, 3, device="meta"), torch.zeros(4, 3, 3, device="meta")
    result = fm.residual_moments("gelu", mu, cov, cov[0], C="identity", return_cross=True)
    assert [tuple(x.shape) for x in result] == [(4, 3), (4, 3, 3), (4, 3, 3)]
    back = fm.npn_moments_vjp(mu, cov, mu, cov, tau=mu[0])
    assert back.cov_bar.is_meta and back.cov_bar.shape == cov.shape
    leaf = mu.requires_grad_()
    fm.npn_marginals(leaf, mu.detach()).var.sum().backward()
    assert leaf.grad.is_meta and leaf.grad.shape == mu.shape


@pytest.mark.feature("PyTorch", "autocast")
def test_torch_autocast_leaves_the_dtype():
    """Autocast leaves the dtype of moments: they lose too much in bfloat16."""
    torch = pytest.importorskip("torch")
    mu, cov = (torch.from_numpy(x) for x in gaussian(3, np.float32))
    expected = fm.residual_moments("relu", mu, cov, cov)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fm.residual_moments("relu", mu, cov, cov)
        low = fm.relu_moments(mu.bfloat16(), cov.bfloat16())
    assert all(map(torch.equal, found, expected)) and low.cov.dtype == torch.bfloat16


@pytest.mark.feature("PyTorch", "empty, n = 1, batches")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "batch"), [(0, ()), (1, ()), (3, (2, 1)), (3, (0,))])
def test_torch_of_any_shape(n, batch, dtype):
    torch = pytest.importorskip("torch")
    mu, cov = gaussian(n, dtype, batch)
    found = fm.relu_moments(torch.from_numpy(mu), torch.from_numpy(cov))
    for got, expected in zip(found, fm.relu_moments(mu, cov), strict=True):
        assert got.shape == expected.shape and np.array_equal(got.numpy(), expected)
    leaf = torch.from_numpy(mu).requires_grad_()
    fm.relu_moments(leaf, torch.from_numpy(cov)).cov.sum().backward()
    assert leaf.grad.shape == mu.shape and leaf.grad.isfinite().all()


@pytest.mark.feature("PyTorch", "precision=")
def test_torch_precision_sets_the_arithmetic():
    torch = pytest.importorskip("torch")
    mu, cov = (torch.from_numpy(x) for x in gaussian(3, np.float32))
    found = fm.relu_moments(mu, cov, precision="float64").cov
    assert torch.equal(found, fm.relu_moments(mu.double(), cov.double()).cov.float())


@pytest.fixture
def jnp():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield jax.numpy


@pytest.mark.feature("JAX", "precision=")
def test_jax_precision_sets_the_arithmetic(jnp):
    mu, cov = (jnp.asarray(x) for x in gaussian(3, np.float32))
    found = fm.npn_moments(mu, cov, precision="float64").cov
    wide = fm.npn_moments(mu.astype("float64"), cov.astype("float64")).cov
    assert found.dtype == "float32" and np.array_equal(found, wide.astype("float32"))


@pytest.mark.feature("JAX", "float16 and bfloat16")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_jax_half_precision_computes_in_float32(dtype):
    jnp = pytest.importorskip("jax").numpy
    mu, cov = (jnp.asarray(x, dtype) for x in gaussian(3, np.float32))
    found = fm.npn_moments(mu, cov).cov
    wide = fm.npn_moments(mu.astype("float32"), cov.astype("float32")).cov
    assert found.dtype == dtype and np.array_equal(found, wide.astype(dtype))


@pytest.mark.feature("JAX", "check=")
def test_jax_checks_values_it_can_see(jnp):
    with pytest.raises(ValueError, match="cov: expected a symmetric matrix"):
        fm.relu_moments(jnp.zeros(2), jnp.asarray([[1.0, 0.5], [0.4, 1.0]]), check=True)


@pytest.mark.feature("JAX", "second derivatives")
def test_jax_second_derivatives(jnp):
    """d^2 E relu(X) / d mu^2 is the density of X at 0."""
    import jax

    found = jax.hessian(lambda mu: fm.relu_mean(mu, 2.0))(jnp.float64(0.5))
    density = np.exp(-0.0625) / np.sqrt(4 * np.pi)
    assert abs(found - density) <= 8 * np.finfo(float).eps


def test_shape_errors_come_while_tracing():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    compiled = torch.compile(fm.relu_moments, backend="aot_eager")
    for function, zeros, eye in (
        (compiled, torch.zeros, torch.eye),
        (jax.jit(fm.relu_moments), jax.numpy.zeros, jax.numpy.eye),
    ):
        with pytest.raises(ValueError, match=r"cov: expected shape \(\.\.\., 2, 2\) for mu of shape \(2,\)"):
            function(zeros(2), eye(3))
