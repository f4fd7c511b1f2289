"""Corrections by cumulants far from ordinary sizes: scales, rounding, values without numbers, memory, symmetry."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.compare import Affine, Residual
from tests.test_cumulants import network

ACTIVATIONS = ["gelu", "tanh", "sin", fm.HardTanh(), fm.ELU(), fm.NPN(), fm.Exp(), fm.Custom(np.arctan)]


SCALES = [(np.float64, (1e-150, 1e-77, 1e77, 1e150)), (np.float32, (1e-12, 1e12))]


def in_dtype(layers: list[Any], dtype: Any) -> list[Any]:
    return [type(x)(*(y.astype(dtype) if hasattr(y, "astype") else y for y in x)) for x in layers]


@pytest.mark.parametrize(("dtype", "scales"), SCALES)
def test_fourth_powers_may_leave_the_numbers(dtype: Any, scales: tuple[float, ...]) -> None:
    """Relu networks without biases are homogeneous."""
    layers = [Residual("relu", x.A) if isinstance(x, Residual) else x for x in network("relu", 6, 12, 3, 7)]
    layers, eye = in_dtype(layers, dtype), np.eye(6, dtype=dtype)
    one = fm.propagate(layers, np.zeros(6, dtype), eye, cumulants=True)
    assert one.small and not np.array_equal(one.cov, one.closure.cov)
    for scale in scales:
        two = fm.propagate(layers, np.zeros(6, dtype), dtype(scale) ** 2 * eye, cumulants=True)
        assert two.small
        np.testing.assert_allclose(two.mean / dtype(scale), one.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(two.cov / dtype(scale) ** 2, one.cov, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounding_is_no_cumulant(activation: Any, dtype: Any) -> None:
    """Where f is a line, the closure is exact; its rounding must not count as its shape."""
    layers, eps = in_dtype(network(activation, 4, 8, 3, 5), dtype), float(np.finfo(dtype).eps)
    for sd in (1e2 * eps, eps, 1e-3 * eps, 1e-70 if dtype is np.float64 else 1e-15):
        found = fm.propagate(layers, np.zeros(4, dtype), dtype(sd) ** 2 * np.eye(4, dtype=dtype), cumulants=True)
        assert found.small
        # cumulants are in float32
        off = 2e-6 * np.abs(found.closure.cov).max()
        np.testing.assert_allclose(found.cov, found.closure.cov, rtol=0, atol=off)


def test_rows_without_numbers_spoil_no_others() -> None:
    layers = network("gelu", 4, 8, 3, 5)
    mu, cov = 0.1 * np.arange(12.0).reshape(3, 4), np.broadcast_to(0.2 * np.eye(4), (3, 4, 4))
    wanted = fm.propagate(layers, mu, cov, cumulants=True)
    assert wanted.small.all()
    for spoiled in (mu.copy(), cov.copy()):
        spoiled[1, 2], spoiled[1, ..., 2] = np.nan, np.nan
        given = (spoiled, cov) if spoiled.ndim == 2 else (mu, spoiled)
        with pytest.warns(fm.AccuracyWarning, match="1 of 3 corrections"):
            found = fm.propagate(layers, *given, cumulants=True)
        np.testing.assert_array_equal(found.small, [True, False, True])
        for k in (0, 2):
            np.testing.assert_allclose(found.mean[k], wanted.mean[k], rtol=1e-9)
            np.testing.assert_allclose(found.cov[k], wanted.cov[k], rtol=1e-6, atol=1e-9)


def test_covariances_are_symmetric() -> None:
    """Also where they end with neurons, whose corrections have float32's rounding."""
    found = fm.propagate(network("gelu", 32, 32, 3, 2)[:-1], np.zeros(32), np.eye(32), cumulants=True)
    assert found.small and not np.array_equal(found.cov, found.closure.cov)
    np.testing.assert_array_equal(found.cov, found.cov.mT)


def test_memory_grows_with_depth_and_not_its_square() -> None:
    def peak(depth: int) -> int:
        layers = network("relu", 64, 64, depth, 1)
        tracemalloc.start()
        fm.propagate(layers, np.zeros(64), np.eye(64), cumulants=True)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    assert peak(16) < 2.4 * peak(8)


def test_a_layer_that_is_dead_or_certain() -> None:
    rng = np.random.default_rng(6)
    A, B = rng.normal(size=(8, 4)), rng.normal(size=(8, 8))
    for activation, bias in (("relu", -1e3), ("heaviside", -1e3), ("heaviside", 1e3)):
        rest = [Residual("gelu", B), Residual("relu", B), Affine(B[:2])]
        layers = [Residual(activation, A, bias * np.ones(8)), *rest]
        found = fm.propagate(layers, np.zeros(4), np.eye(4), cumulants=True)
        assert found.small
        np.testing.assert_array_equal(found.cov, np.zeros((2, 2)))


@pytest.mark.parametrize("var", [0.0, 1e-8])
def test_derivatives_of_what_hardly_varies_are_those_of_the_closure(var: float) -> None:
    """Corrections are of the order of var^2; the covariance has rank one, and a neuron has no variance."""
    torch = pytest.importorskip("torch")
    layers = network("tanh", 4, 6, 3, 10)
    layers[0].A[2] = 0.0
    layers = [type(x)(*(torch.tensor(y) if hasattr(y, "astype") else y for y in x)) for x in layers]
    cov = torch.full((4, 4), var, dtype=torch.float64, requires_grad=True)
    found = fm.propagate(layers, torch.full((4,), 0.2, dtype=torch.float64), cov, cumulants=True)
    wanted, got = (
        torch.autograd.grad(x.sum(), cov, retain_graph=True)[0].numpy() for x in (found.closure.cov, found.cov)
    )
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
