"""Warnings and errors: matrices that are no covariance, covariances in place of variances, variances below 0."""

import warnings
from functools import partial

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.moments import moments_vjp
from fastmoments_kernels import cpu
from tests.test_inputs import gaussian

SIZES = (2, 140)  # one call, tiles
said = partial(pytest.warns, RuntimeWarning, match=r"cov: not positive semidefinite.*check=True\) names the worst")


def with_pair(n, value, dtype=np.float64):
    cov = np.eye(n, dtype=dtype)
    cov[0, -1] = cov[-1, 0] = value
    return np.zeros(n, dtype), cov


@pytest.fixture
def silence():
    """Fail if a warning is issued."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", SIZES)
def test_a_correlation_beyond_one_is_said(n, dtype, activation):
    mu, cov = with_pair(n, 2.0, dtype)
    with said() as caught:
        result = fm.moments(activation, mu, cov)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert np.isnan(result.cov[0, -1]) and np.isnan(result.cov).sum() == 2
    with said():
        gradients = moments_vjp(activation, mu, cov, mu, cov)
    assert np.isnan(gradients.cov_bar[0, -1])


@pytest.mark.parametrize("n", SIZES)
def test_who_else_says_it(n, synchronous):
    torch, dask = pytest.importorskip("torch"), pytest.importorskip("dask.array")
    mu, cov = with_pair(n, -1.5)
    tensors = torch.from_numpy(mu), torch.from_numpy(cov)
    with said() as caught:
        fm.relu_moments(*tensors)
    assert len(caught) == 1 and caught[0].filename == __file__
    with said():
        fm.relu_moments(tensors[0].clone().requires_grad_(), tensors[1])
    with said():
        fm.residual_moments("relu", mu, cov, np.eye(n))
    with said():
        fm.relu_moments(np.zeros((3, n)), np.stack([np.eye(n), cov, np.eye(n)]))
    blocks = [dask.from_array(x, chunks=(n + 1) // 2) for x in (mu, cov)]
    lazy = fm.relu_moments(*blocks).cov
    with said():
        lazy.compute()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n", SIZES)
def test_nothing_is_said_of_nan_rounding_and_constants(n, activation, silence):
    eps = np.finfo(np.float64).eps
    mu, cov = with_pair(n, 1.0 + 4 * eps)
    bad = mu.copy()
    bad[0] = np.nan
    assert np.isnan(fm.moments(activation, bad, cov).cov[0, -1])
    mu, cov = with_pair(n, np.nan)
    assert np.isnan(fm.moments(activation, mu, cov).cov[0, -1])
    mu, cov = with_pair(n, 2.0)
    cov[0, 0] = 0.0
    assert fm.moments(activation, mu, cov).cov[0, -1] == 0.0
    cov[0, 0] = np.nan
    assert np.isnan(fm.moments(activation, mu, cov).cov[0, -1])


MATRIX, MU = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]]), np.array([0.0, 1.0, -1.0])
doubted = partial(pytest.warns, UserWarning, match=r"relu_moments\(mu, cov\) takes.*pass mu\[\.\.\., None, :\]")


@pytest.mark.parametrize("kind", ["marginals", "mean", "var", "gain"])
def test_a_covariance_in_place_of_variances_is_doubted(kind):
    with doubted() as caught:
        getattr(fm, f"relu_{kind}")(MU, MATRIX)
    assert len(caught) == 1 and caught[0].filename == __file__
    with doubted():
        getattr(fm, f"relu_{kind}")(np.stack([MU, MU, MU]), np.stack([MATRIX, MATRIX, MATRIX]))
    with pytest.warns(UserWarning, match=r"which moments\(activation, mu, cov\) takes"):
        fm.marginals(fm.Custom(np.tanh), MU, MATRIX)


def test_a_negative_covariance_is_doubted_before_it_is_refused_as_a_variance():
    negative = np.array([[1.0, -0.5], [-0.5, 1.0]])
    for array in (np.asarray, pytest.importorskip("torch").tensor):
        with pytest.warns(UserWarning, match="looks like a covariance matrix"), pytest.raises(ValueError):
            fm.relu_marginals(array(np.zeros(2)), array(negative))


def test_one_variance_for_all_is_not_doubted(silence):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    for array in (np.asarray, torch.tensor, jax.numpy.asarray):
        assert fm.relu_mean(array(np.zeros(3)), array(np.full((3, 3), 2.0))).shape == (3, 3)


def test_other_libraries_doubt_it_too(synchronous):
    torch, dask, jnp = (pytest.importorskip(name) for name in ("torch", "dask.array", "jax.numpy"))
    with doubted():
        fm.relu_mean(torch.from_numpy(MU), torch.from_numpy(MATRIX))
    with doubted():
        fm.relu_mean(torch.from_numpy(MU).requires_grad_(), torch.from_numpy(MATRIX))
    with doubted():
        fm.relu_mean(jnp.asarray(MU), jnp.asarray(MATRIX))
    with doubted() as caught:
        fm.relu_mean(dask.from_array(MU), dask.from_array(MATRIX)).compute()
    assert len(caught) == 1


def test_what_is_meant_is_not_doubted(silence):
    jax = pytest.importorskip("jax")
    skew = MATRIX + np.triu(np.ones((3, 3)))
    assert fm.relu_mean(MU, skew).shape == fm.relu_mean(MU[..., None, :], MATRIX).shape == (3, 3)
    assert np.array_equal(fm.relu_mean(MU[None], MATRIX)[0], fm.relu_mean(MU, MATRIX[0]))
    assert fm.relu_mean([1.0], [[2.0]]).shape == (1, 1)
    assert fm.relu_mean(1.0, MATRIX).shape == fm.relu_mean(MU[:, None], MATRIX).shape == (3, 3)
    assert fm.relu_mean(jax.numpy.asarray(MU), jax.numpy.asarray(skew)).shape == (3, 3)
    assert jax.jit(fm.relu_mean)(MU, MATRIX).shape == (3, 3)


def test_a_variance_below_0_by_rounding_is_told_the_way_out():
    var = np.array([-1e-18, 1.0])
    for call in (
        lambda: fm.relu_marginals(MU[:2], var),
        lambda: fm.relu_moments(MU[:2], np.diag(var)),
        lambda: fm.bayes_linear_marginals(MU[:2], var, np.eye(2), np.eye(2)),
    ):
        with pytest.raises(ValueError, match=r"clip variances at 0 first: numpy.maximum\(var, 0\)"):
            call()
    assert np.isfinite(fm.relu_marginals(MU[:2], np.maximum(var, 0.0))).all()
    assert (
        "numpy.maximum(var, 0)" in fm.relu_moments.__doc__ and "numpy.maximum(var, 0)" in fm.relu_marginals.__doc__
    )


def test_threads_answer_for_their_own_tiles():
    """The warning comes from any thread: matrices of several tiles have the pair in each tile in turn."""
    mu, cov = gaussian(200)
    for i, j in ((0, 1), (3, 70), (100, 199), (150, 160)):
        bad = cov.copy()
        bad[i, j] = bad[j, i] = 2.0 * np.sqrt(cov[i, i] * cov[j, j])
        with said():
            fm.relu_moments(mu, bad)
    assert cpu.small.SMALL < 200
