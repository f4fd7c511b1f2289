"""Filters of filterpy: the example's unscented prediction is theirs, and their update takes our moments."""

import numpy as np
import pytest

import fastmoments as fm

kalman = pytest.importorskip("filterpy.kalman", reason="filterpy is not installed")
torch = pytest.importorskip("torch")


@pytest.fixture
def example(monkeypatch, double_precision):
    monkeypatch.syspath_prepend("examples")
    import kalman_filter

    return kalman_filter


@pytest.fixture
def model(example):
    torch.manual_seed(0)
    return example.Transition().double().eval().requires_grad_(False)


MEAN, COV = np.array([1.5, -0.3]), np.array([[0.3, 0.1], [0.1, 0.2]])


def test_the_examples_points_are_filterpys(example, model):
    def step(x, dt):
        return model(torch.as_tensor(x)).numpy()

    points = kalman.JulierSigmaPoints(2, kappa=0.0)
    theirs = kalman.UnscentedKalmanFilter(2, 1, 1.0, hx=lambda x: x[:1], fx=step, points=points)
    theirs.x, theirs.P, theirs.Q = MEAN, COV, np.zeros((2, 2))
    theirs.predict()
    ours = example.by_points(model, torch.as_tensor(MEAN), torch.as_tensor(COV))
    np.testing.assert_allclose(ours.mean, theirs.x, rtol=1e-12)
    np.testing.assert_allclose(ours.cov, theirs.P, rtol=1e-12)


def test_a_filter_of_filterpy_takes_the_moments(model):
    mean, cov = fm.propagate(model, torch.as_tensor(MEAN), torch.as_tensor(COV))
    theirs = kalman.KalmanFilter(2, 1)
    theirs.x, theirs.P = mean.numpy()[:, None], cov.numpy()
    theirs.H, theirs.R = np.array([[1.0, 0.0]]), np.array([[0.25]])
    theirs.update(np.array([[1.0]]))
    noise = 0.25 * torch.eye(1, dtype=torch.float64)
    ours = fm.nn.condition(mean, cov, [0], torch.ones(1, dtype=torch.float64), noise)
    np.testing.assert_allclose(ours.mean, theirs.x[:, 0], rtol=1e-12)
    np.testing.assert_allclose(ours.cov, theirs.P, rtol=1e-12)
