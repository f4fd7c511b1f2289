"""Networks refuse a matrix that is no covariance, in every library and with derivatives; one in rounding passes."""

from functools import partial

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")
COV = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]])
WEIGHT = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
MODEL = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64).requires_grad_(False)
MODEL.weight.copy_(torch.from_numpy(WEIGHT))


def of_numpy(cov, **how):
    return fm.propagate([fm.compare.Affine(WEIGHT, np.zeros(2))], np.zeros(3), cov, **how)


def of_torch(cov, tracked=False, **how):
    given = torch.tensor(cov, requires_grad=tracked)
    return fm.propagate(MODEL, torch.zeros(3, dtype=given.dtype), given, **how)


def of_jax(cov, **how):
    jnp = pytest.importorskip("jax.numpy")
    return fm.propagate(lambda x: x @ WEIGHT.T, jnp.zeros(3), jnp.asarray(cov), **how)


def gradient_of_jax(cov, **how):
    jax = pytest.importorskip("jax")
    return jax.grad(lambda c: of_jax(c, **how).cov.sum())(jax.numpy.asarray(cov))


LIBRARIES = {
    "numpy": of_numpy,
    "torch": of_torch,
    "torch with derivatives": partial(of_torch, tracked=True),
    "jax": of_jax,
    "jax with derivatives": gradient_of_jax,
}
libraries = pytest.mark.parametrize("library", LIBRARIES)


def refused(library, cov, match, **how):
    with pytest.raises(ValueError, match=match):
        LIBRARIES[library](cov, **how)


@libraries
def test_one_triangle_and_factors_are_refused(library, jax_double_precision):
    remedy = r"0\.5 \* \(cov \+ cov\.mT\).*L @ L\.mT"
    refused(library, np.triu(COV), rf"cov\[0, 1\] = 0\.5 and cov\[1, 0\] = 0\.0.*{remedy}")
    refused(library, np.linalg.cholesky(COV), "expected a symmetric matrix")
    skew = np.stack([COV, COV + 1e-9 * np.triu(COV, 2)])
    with pytest.raises(ValueError, match=r"cov\[1, 0, 2\]"):
        fm.propagate([fm.compare.Affine(WEIGHT, np.zeros(2))], np.zeros((2, 3)), skew)


@pytest.mark.parametrize("how", [{"tol": 0.1}, {"cumulants": True}, {"bound": True}], ids=str)
def test_checks_and_corrections_refuse_them_too(how):
    refused("torch", np.triu(COV), "expected a symmetric matrix", **how)
    refused("torch with derivatives", np.triu(COV), "expected a symmetric matrix", **how)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_pass_and_the_upper_triangle_is_read(dtype):
    """A cov A^T as users compute it, singular and with variances of 1e-8 to 1e8: both triangles differ."""
    rng, model = np.random.default_rng(0), torch.nn.Identity()
    factor = rng.normal(size=(40, 25)) * np.logspace(-4, 4, 40)[:, None]
    inner = (lambda x: x @ x.T)(rng.normal(size=(25, 25)))
    cov = factor.astype(dtype) @ inner.astype(dtype) @ factor.T.astype(dtype)
    assert not np.array_equal(cov, cov.T)
    upper = torch.tensor(np.triu(cov) + np.triu(cov, 1).T)
    for tracked in (False, True):
        given = torch.tensor(cov, requires_grad=tracked)
        found = fm.propagate(model, torch.zeros(40, dtype=given.dtype), given).cov
        assert torch.equal(found, upper)
    (gradient,) = torch.autograd.grad(found[0, 1], given)
    assert gradient[0, 1] == gradient[1, 0] == 0.5


def test_nan_and_constants_pass():
    cov = COV.copy()
    cov[0], cov[:, 0] = np.nan, np.nan
    found = fm.propagate(torch.nn.Identity(), torch.zeros(3).double(), torch.tensor(cov)).cov
    np.testing.assert_array_equal(found, cov)
    cov[1, 0] = 0.0
    refused("numpy", cov, r"cov\[0, 1\] = nan and cov\[1, 0\] = 0")
    np.testing.assert_array_equal(of_numpy(np.zeros((3, 3))).cov, np.zeros((2, 2)))
    empty = fm.propagate(torch.nn.Identity(), torch.zeros(0, 3).double(), torch.tensor(COV))
    assert empty.cov.shape == (0, 3, 3)


def test_what_is_traced_takes_the_upper_triangle(jax_double_precision):
    jax = pytest.importorskip("jax")
    want = WEIGHT @ COV @ WEIGHT.T
    np.testing.assert_allclose(jax.jit(lambda c: of_jax(c).cov)(np.triu(COV)), want, rtol=1e-14)
    mu, upper = torch.zeros(3).double(), torch.tensor(np.triu(COV))[None]
    found = torch.func.vmap(lambda c: fm.propagate(MODEL, mu, c).cov)(upper)
    np.testing.assert_allclose(found[0], want, rtol=1e-14)


# positive variances and correlations within [-1, 1], and an eigenvalue of -0.8
INDEFINITE = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]])
DIRECTION = np.array([[1.0, -1.0, -1.0]])  # of variance 3 - 5.4


def layers_of(*behind):
    first = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64).requires_grad_(False)
    first.weight.copy_(torch.from_numpy(DIRECTION))
    return torch.nn.Sequential(torch.nn.Identity(), first, *behind)


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("how", [{}, {"cumulants": True}, {"bound": True}, {"tol": 0.1}], ids=str)
@pytest.mark.parametrize("behind", [(), (torch.nn.ReLU(),), (torch.nn.SiLU(), torch.nn.Linear(1, 2).double())])
def test_a_variance_below_0_behind_a_layer_names_the_layer_and_the_remedy(behind, how, tracked):
    cov = torch.tensor(INDEFINITE, requires_grad=tracked)
    remedy = r"l, v = linalg\.eigh\(cov\) and v \* l\.clip\(0\) @ v\.mT"
    with pytest.raises(ValueError, match=rf"^1: .*got -2\.\d+ at \(0, 0\).*{remedy}.*float64"):
        fm.propagate(layers_of(*behind), torch.zeros(3).double(), cov, **how)
    values, vectors = torch.linalg.eigh(cov.detach())
    mended = vectors * values.clip(0) @ vectors.mT
    found = fm.propagate(layers_of(*behind), torch.zeros(3).double(), mended, **how)
    assert (found.cov.diagonal() >= 0).all()


def test_skip_connections_and_sums_name_theirs():
    square = np.concatenate([DIRECTION, np.zeros((2, 3))])
    residual = [fm.compare.Residual("relu", square, np.zeros(3), "identity")]
    for layers in (residual, [fm.compare.Affine(np.eye(3)), *residual]):
        with pytest.raises(ValueError, match=r"^layers\[\d\].*got -2\.\d+ at \(0, 0\).*eigh"):
            fm.propagate(layers, np.zeros(3), INDEFINITE)
    with pytest.raises(ValueError, match=r"^model: .*got -2\.\d+ at \(0, 0\).*eigh"):
        fm.propagate(lambda x: x[:, :1] - x[:, 1:2] - x[:, 2:], torch.zeros(3).double(), torch.tensor(INDEFINITE))


@libraries
def test_a_negative_variance_of_an_input_is_refused_by_every_library(library, jax_double_precision):
    refused(library, np.diag([1.0, -1.0, 1.0]), r"cov: its diagonal must hold variances >= 0, got -1\.0")
