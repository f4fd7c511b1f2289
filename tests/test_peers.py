"""`make bench-peers` compares what it says: methods are right where they are exact, at sizes that take no time."""

import numpy as np
import pytest

import fastmoments as fm

pytest.importorskip("threadpoolctl")
pytest.importorskip("torch")

from benchmarks import pair_truth, peers, peers_networks, peers_page  # noqa: E402
from experiments.suites import plain, standard  # noqa: E402
from fastmoments_kernels.catalogue import row_of  # noqa: E402
from tests import truth  # noqa: E402


@pytest.mark.parametrize("point", [(1.5, -2.0, 0.6), (-0.25, 0.75, -0.99), (-9.0, -7.0, 0.5)])
def test_two_integrals_agree(point):
    """The integral of one neuron on fixed panels agrees with the tests' adaptive one."""
    h, k, rho = point
    f = truth.activation(row_of("relu"))
    want = truth.cov_truth(f, f, h, k, 1.0, 1.0, rho, 18).value
    assert abs(pair_truth.truth("relu", h, k, rho) / want - 1) < 1e-18


def test_every_method_is_right_where_it_is_exact():
    h, k = np.array([0.0, 0.0, 0.3]), np.array([0.0, 0.0, -0.2])
    rho = np.array([0.5, -0.9, 1e-4])
    want = np.array([float(pair_truth.truth("relu", *point)) for point in zip(h, k, rho, strict=True)])
    methods = peers.relu_methods()
    # zero mean: of first order in the correlation; the second order is rho^2 / (4 pi)
    for name in ("fastmoments", "SciPy", "quadrature, 20 nodes", "DVI", "zero-mean formula"):
        np.testing.assert_allclose(methods[name](h, k, rho)[:2], want[:2], rtol=1e-9, err_msg=name)
    for name in ("fastmoments", "SciPy", "quadrature, 20 nodes", "DVI", "series, 5 terms", "gain map"):
        np.testing.assert_allclose(methods[name](h, k, rho)[2], want[2], atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(methods["linearisation"](h + 5, k + 5, rho), rho)


def test_distribution_functions_agree():
    h, k, rho = peers.draw("0.9", 4)
    want = [float(peers.cdf_truth(*map(float, point))) for point in zip(h, k, rho, strict=True)]
    for name, method in peers.cdf_methods().items():
        # 20 nodes up to 0.9
        np.testing.assert_allclose(method(h, k, rho), want, atol=1e-9, err_msg=name)


def test_matrices_of_all_methods():
    pytest.importorskip("jax")
    layer = peers.DATA["typical"](4)
    want = fm.relu_moments(layer.mu, layer.cov).cov
    for name, method in peers.matrix_methods().items():
        found = method(layer.mu, layer.cov)
        assert found.shape == want.shape, name
        if name.startswith("quadrature"):
            np.testing.assert_allclose(found[0, 1], want[0, 1], rtol=1e-6, err_msg=name)
        if name.startswith("Monte Carlo"):
            # 6 standard errors of the fewest samples: sd^2 sqrt(2 / 10^4), and the kurtosis of a half normal
            np.testing.assert_allclose(found, want, atol=6 * 0.03 * want.max(), err_msg=name)


def test_a_method_without_a_number_is_nan_and_not_right():
    row = {"0.9": 1e-16, "1": None, "ns": 12.0}
    assert "| nan | 12 |" in peers_page._table({"fastmoments": row})


def test_ways_through_networks(monkeypatch):
    """Points agree with the truth that other points give; slopes are right where nothing bends."""
    monkeypatch.setattr(peers_networks, "TRUTH", 2**12)
    monkeypatch.setattr(peers_networks, "MOST", 2**8)
    problem = standard(plain("relu", 2, 2, 1, 8), 1.0)
    rows = peers_networks.of_one(problem, 0)
    for name in ("plain Sobol", "scrambled Sobol"):
        answer = peers_networks.POINTS[name](problem, 2**12, 0)
        true = peers_networks.points.truth(problem, 2**14)
        assert max(peers_networks.points.errors(answer, true)) < 0.02, name
    assert all(0 < row["ms"] and row.get("points", 2) >= 2 for row in rows.values())
    # no unit changes its sign this near to the mean, which is not 0
    layers = plain("relu", 2, 2, 1, 8)
    near = peers_networks.Problem(layers, np.array([1.0, -2.0]), 1e-12 * np.eye(2))
    want = np.sqrt(np.diag(fm.compare.mean_field(layers, near.mu, near.cov).cov))
    np.testing.assert_allclose(np.sqrt(np.diag(peers_networks.suq(near).cov)), want, rtol=1e-6)
