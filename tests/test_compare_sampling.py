"""fm.compare.monte_carlo: its values by closed forms, its errors by statistics, its memory."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import fastmoments as fm
from tests.test_compare import gaussian, relu_layer


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_monte_carlo_is_within_its_standard_error(method):
    layer, (mu, cov) = relu_layer(3, 2), gaussian(3, batch=(2,))
    result = fm.compare.monte_carlo([layer], mu, cov, 2**14, method, seed=3, return_error=True)
    exact = fm.compare.analytic([layer], mu, cov)
    # 12 numbers, Student's t with 15 degrees of freedom: a correct estimator fails for 1 seed in 10,000.
    limit = stats.t.ppf(1 - 1e-4 / 12 / 2, 15)
    assert np.all(np.abs(result.mean - exact.mean) <= limit * result.mean_error)
    assert np.all(np.abs(result.cov - exact.cov) <= limit * result.cov_error)


def test_monte_carlo_standard_error_is_the_textbook_one():
    layer, (mu, cov) = relu_layer(3, 2), gaussian(3)
    result = fm.compare.monte_carlo([layer], mu, cov, 2**14, seed=4, return_error=True)
    expected = np.sqrt(np.diag(result.cov) / 2**14)
    # The squared ratio is chi squared with 15 degrees of freedom over 15.
    low, high = np.sqrt(stats.chi2.ppf([1e-5, 1 - 1e-5], 15) / 15)
    assert np.all((result.mean_error > low * expected) & (result.mean_error < high * expected))


def test_sobol_points_are_more_accurate():
    layer, (mu, cov) = relu_layer(3, 2), gaussian(3)
    random, sobol = (
        fm.compare.monte_carlo([layer], mu, cov, 2**14, method, seed=5, return_error=True)
        for method in ("random", "sobol")
    )
    # Rates 1/2 against nearly 1 in three dimensions: a factor of about 1024**(1/2) per repetition, 5 is sure.
    assert np.all(5 * sobol.mean_error < random.mean_error)


def test_monte_carlo_repeats_with_its_seed_and_only_then():
    layer, (mu, cov) = relu_layer(3, 2), gaussian(3, batch=(2,), rank=1)
    first, same, other = (fm.compare.monte_carlo([layer], mu, cov, 100, seed=seed) for seed in (6, 6, 7))
    assert_allclose(first.cov, same.cov, rtol=0)
    assert not np.any(first.mean == other.mean)


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_chunks_change_nothing(monkeypatch, method):
    layer, (mu, cov) = relu_layer(3, 2), gaussian(3)
    run = partial(fm.compare.monte_carlo, [layer], mu, cov, 2**12, method, seed=8)
    whole = run()
    monkeypatch.setattr("fastmoments.compare.sampling._CHUNK_NUMBERS", 100)
    chunked = run()
    assert_allclose(chunked.mean, whole.mean, rtol=1e-12)
    assert_allclose(chunked.cov, whole.cov, rtol=1e-12)


def test_memory_does_not_grow_with_samples(monkeypatch):
    monkeypatch.setattr("fastmoments.compare.sampling._CHUNK_NUMBERS", 2**14)
    layer, (mu, cov) = relu_layer(3, 64), gaussian(3)

    def peak(samples):
        tracemalloc.start()
        fm.compare.monte_carlo([layer], mu, cov, samples, seed=9)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(2**13)  # imports and caches of the first call
    # 2 chunks a repetition against 16; all 2**16 outputs together are 32 MiB.
    assert peak(2**16) < 1.2 * peak(2**13) < 2**22
