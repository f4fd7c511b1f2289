"""Time the moments on one thread, beside the linear layer that feeds them and the ways to do without them."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

import fastmoments as fm
from benchmarks import baselines
from benchmarks.data import DATA, Array

SIZES = (64, 256, 1024)
SCIPY_PAIRS = 50

MOMENTS: dict[str, Callable[[Array, Array], fm.Moments]] = {
    "relu": fm.relu_moments,
    "heaviside": fm.heaviside_moments,
}
QUADRATURE = {"relu": baselines.relu_quadrature, "heaviside": baselines.heaviside_quadrature}
SCIPY = {"relu": baselines.relu_scipy, "heaviside": baselines.heaviside_scipy}

# The minimum is reported, so many rounds: other processes only ever add time.
pytestmark = pytest.mark.benchmark(min_rounds=20, max_time=2.0)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the kernels and the BLAS on one thread: cores would be compared otherwise, not methods."""
    fm.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize("n", SIZES)
def test_two_products(benchmark: BenchmarkFixture, n: int) -> None:
    layer = DATA["typical"](n)

    def products() -> Array:
        return layer.weight @ layer.cov_in @ layer.weight.T

    products()
    benchmark(products)


@pytest.mark.parametrize("n", SIZES)
def test_copy(benchmark: BenchmarkFixture, n: int) -> None:
    cov = DATA["typical"](n).cov
    benchmark(np.copyto, np.empty_like(cov), cov)


@pytest.mark.parametrize("activation", MOMENTS)
def test_call(benchmark: BenchmarkFixture, activation: str) -> None:
    mu, cov = np.zeros(1), np.ones((1, 1))
    MOMENTS[activation](mu, cov)  # compiles; pytest-benchmark plans its rounds by the first call it sees
    benchmark(MOMENTS[activation], mu, cov)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("activation", MOMENTS)
def test_fastmoments(benchmark: BenchmarkFixture, activation: str, data: str, n: int) -> None:
    layer = DATA[data](n)
    benchmark.extra_info["plan"] = str(fm.plan(layer.mu, layer.cov))
    mean, cov = MOMENTS[activation](layer.mu, layer.cov)
    # A wrong kernel has no speed. The bound is what 20 nodes in r reach at |rho| = .95 without deep tails.
    expected_mean, expected_cov = QUADRATURE[activation](layer.mu, layer.cov)
    sigma = np.sqrt(np.diag(expected_cov))
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-12)
    np.testing.assert_array_less(np.abs(cov - expected_cov), 1e-6 * np.outer(sigma, sigma))
    benchmark(MOMENTS[activation], layer.mu, layer.cov)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("activation", QUADRATURE)
def test_quadrature(benchmark: BenchmarkFixture, activation: str, data: str, n: int) -> None:
    layer = DATA[data](n)
    QUADRATURE[activation](layer.mu, layer.cov)
    benchmark(QUADRATURE[activation], layer.mu, layer.cov)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("activation", SCIPY)
def test_scipy_sample(benchmark: BenchmarkFixture, activation: str, data: str) -> None:
    layer = DATA[data](256)
    rng = np.random.default_rng(0)
    pairs = [rng.choice(256, size=2, replace=False) for _ in range(SCIPY_PAIRS)]
    arguments = [(layer.mu[i], layer.mu[j], layer.cov[i, i], layer.cov[j, j], layer.cov[i, j]) for i, j in pairs]
    function = SCIPY[activation]

    def sample() -> list[float]:
        return [function(*a) for a in arguments]

    expected = QUADRATURE[activation](layer.mu, layer.cov)[1]
    np.testing.assert_allclose(sample(), [expected[i, j] for i, j in pairs], atol=1e-6)
    benchmark.extra_info["pairs"] = SCIPY_PAIRS
    benchmark(sample)
