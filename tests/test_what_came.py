"""Errors name the argument, its value and a remedy: numbers beyond dtypes, matrices that are no arrays, names."""

import inspect
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

import fastmoments as fm

REAL = "expected real numbers .* or integers"


class Lazy:
    """A lazy matrix as libraries have them: PyTorch's dtype, no array, a method that makes one."""

    shape = (2, 2)

    def __init__(self, dtype):
        self.dtype = dtype

    def to_dense(self):
        raise AssertionError("it is for users to call")


class Frame:
    """A table as libraries have them: an array on request, no dtype."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_integers_are_named_as_such():
    torch = pytest.importorskip("torch")
    for zeros, eye in (
        (np.zeros(2, np.float32), np.eye(2, dtype=np.int64)),
        (torch.zeros(2), torch.eye(2, dtype=torch.int64)),
    ):
        with pytest.raises(TypeError, match="mu is float32 but cov is int64, which counts as float64: convert"):
            fm.relu_moments(zeros, eye)


@pytest.mark.parametrize("beyond", [10**400, -(10**5000)], ids=["400 digits", "5000"])
def test_integers_beyond_float64(beyond):
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"mu: .*at most 1.8e308, got an integer of \d+ bits"):
        fm.relu_mean(beyond, 1.0)
    with pytest.raises(ValueError, match="tau: .*at most 1.8e308"):
        fm.npn_mean(torch.zeros(2), 1.0, tau=beyond)


def test_matrices_that_are_no_arrays():
    torch = pytest.importorskip("torch")
    zeros = torch.zeros(2)
    fm.relu_moments(zeros, torch.eye(2))  # plans are cached by everything that they depend on
    for matrix, remedy in (
        (Lazy(torch.float32), r"test_what_came.Lazy; pass cov.to_dense\(\)"),
        (torch.eye(2).to_sparse(), r"a tensor in torch.sparse_coo; pass cov.to_dense\(\)"),
    ):
        with pytest.raises(TypeError, match=f"cov: expected an array that holds all its numbers, got .*{remedy}"):
            fm.relu_moments(zeros, matrix)
        with pytest.raises(TypeError, match=remedy):
            fm.residual_moments("relu", zeros, matrix, torch.eye(2))
    for matrix in (sparse.eye(2), sparse.csr_array(np.eye(2))):
        with pytest.raises(TypeError, match=r"cov: .*got scipy.sparse.*; pass cov.toarray\(\)"):
            fm.relu_moments(np.zeros(2), matrix)


def test_sparse_matrices_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    from jax.experimental.sparse import BCOO

    with pytest.raises(TypeError, match=r"cov: .*BCOO; pass cov.todense\(\)"):
        fm.relu_moments(jnp.zeros(2), BCOO.fromdense(jnp.eye(2)))


@pytest.mark.parametrize(
    "value, got",
    [
        (Fraction(1, 2), r"object, of type fractions.Fraction; numpy.asarray\(mu, float\)"),
        ([Decimal(1)], r"object, of type decimal.Decimal; numpy.asarray\(mu, float\)"),
        ([10**30], r"object, of type int; numpy.asarray\(mu, float\)"),
        (None, "object, of type NoneType"),
        ({1.0}, "object, of type set"),
        ("1.0", r"<U3; numpy.asarray\(mu, float\)"),
        (np.array([True]), r"bool; pass 1.0 \* mu"),
        (np.ones(1, complex), "complex128; pass mu.real"),
    ],
)
def test_what_are_no_real_numbers(value, got):
    with pytest.raises(TypeError, match=f"mu: {REAL}.*, got {got}"):
        fm.relu_mean(value, 1.0)


def test_lists_that_cannot_be_read():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="mu: expected an array, got a list that NumPy cannot read.*stack it"):
        fm.relu_mean([torch.zeros((), requires_grad=True)], 1.0)


def test_tables_have_the_dtype_of_their_array():
    mu, cov = np.zeros(2), np.eye(2)
    assert np.array_equal(fm.relu_moments(Frame(mu), Frame(cov)).cov, fm.relu_moments(mu, cov).cov)
    with pytest.raises(TypeError, match="mu is float32 but cov is float64"):
        fm.relu_moments(mu.astype(np.float32), Frame(cov))
    with pytest.raises(TypeError, match="mu is from torch but cov is from numpy"):
        fm.relu_moments(pytest.importorskip("torch").zeros(2), Frame(cov))


@pytest.mark.parametrize("activation, meant", [("rely", "relu"), ("ReLU", "relu"), ("leakyrelu", "leaky_relu")])
def test_unknown_activations_are_told_all_and_the_nearest(activation, meant):
    with pytest.raises(ValueError, match=f'npn_linear, tanh, sigmoid, .*; did you mean "{meant}"'):
        fm.moments(activation, [0.0], [[1.0]])


@pytest.mark.parametrize("activation", ["leaky_relu", fm.LeakyReLU, fm.LeakyReLU()])
def test_keywords_of_the_activation(activation):
    meant = r"did you mean LeakyReLU\(negative_slope=...\) as the activation\?"
    with pytest.raises(TypeError, match=meant):
        fm.moments(activation, [0.0], [[1.0]], slope=0.1)
    with pytest.raises(TypeError, match=meant):
        fm.residual_moments(activation, [0.0], [[1.0]], [[1.0]], negative_slope=0.1)
    with pytest.raises(TypeError, match=meant):
        fm.dual(activation=activation, var_1=1.0, var_2=1.0, cov_12=0.5, slope=0.1)


def test_parameters_that_activations_have_not():
    has = r"it is NPN\(r=1.0, q=2.0, tau=1.0, center=0.0\)"
    with pytest.raises(TypeError, match=rf"^NPN: no parameter 'taus'; did you mean tau\?; {has}"):
        fm.NPN(taus=1.0)
    with pytest.raises(TypeError, match="LeakyReLU: no parameter 'slope'; did you mean negative_slope"):
        fm.LeakyReLU(slope=0.1)
    with pytest.raises(TypeError, match="ELU: no parameter 'alfa'; did you mean alpha"):
        fm.ELU(alfa=1.0)
    with pytest.raises(TypeError, match=r"Custom: no parameter 'tolerance'; did you mean tol\?"):
        fm.Custom(np.tanh, tolerance=1e-3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'function'"):
        fm.Custom()
    assert list(inspect.signature(fm.NPN).parameters) == ["r", "q", "tau", "center"]


def test_public_functions_are_pickled_by_name():
    assert all(pickle.loads(pickle.dumps(one)) is one for one in (fm.moments, fm.cross_cov, fm.propagate))


def test_keywords_that_there_are_not():
    signature = r"leaky_relu_moments\(mu, cov=None, \*, out=None, check=False, .*negative_slope=0.01\)"
    hint = r"did you mean negative_slope\?; it is"
    with pytest.raises(TypeError, match=f"leaky_relu_moments: .*unexpected keyword .*'slope'; {hint} {signature}"):
        fm.leaky_relu_moments([0.0], [[1.0]], slope=0.1)
    with pytest.raises(TypeError, match="cov: expected the covariance of mu, or a normal distribution of torch"):
        fm.relu_moments([0.0])
    with pytest.raises(TypeError, match="relu_mean: too many positional arguments"):
        fm.relu_mean(0.0, 1.0, 2.0)
    with pytest.raises(TypeError, match=r"^moments: .*'chek'; did you mean check\?; it is moments\(activation"):
        fm.moments("relu", [0.0], [[1.0]], chek=True)
    assert fm.relu_mean(mu=0.0, var=1.0) == fm.relu_mean(0.0, 1.0)
