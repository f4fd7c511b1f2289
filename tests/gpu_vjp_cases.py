"""Tests of the backward pass by Triton's kernels; test_gpu.py runs this file in other processes."""

import numpy as np
import pytest
import torch

import fastmoments as fm
from fastmoments.frameworks import torch_formulas
from fastmoments_kernels import gpu
from fastmoments_kernels.gpu import matrices, matrices_vjp
from tests.card import DEVICE, as_on_a_card
from tests.gpu_cases import dtypes, on_device
from tests.matrices import draw, single
from tests.rows import numbers
from tests.test_matrices import assert_within
from tests.test_torch_panels import Allocations


def drawn(kind, n):
    """A matrix and symmetric weights."""
    rng = np.random.default_rng(n)
    bar = single(rng.standard_normal((n, n)))
    return *draw(kind, n), single(rng.standard_normal(n)), single(0.5 * (bar + bar.T))


def by_formulas(activation, *arrays):
    """The gradients by torch operations in float64, which the tables judge elsewhere; no series takes part."""
    tensors = [torch.as_tensor(array) for array in arrays]
    return [x.numpy() for x in torch_formulas.moments_vjp_of(activation, tensors[0])(*tensors)]


# all pairs listed; of float64 several tiles, of which some are overfull
@pytest.mark.parametrize("kind, n", [("strong", 6), pytest.param("strong", 70, marks=pytest.mark.slow)])
@dtypes
def test_pairs_beyond_the_series(kind, n, dtype, new_memory_is_nan):
    given = drawn(kind, n)
    found = gpu.moments_vjp("relu", *(on_device(x, dtype) for x in given))
    for name, result, want in zip(("mu_bar", "cov_bar"), found, by_formulas("relu", *given), strict=True):
        size = np.full(want.shape, n * np.abs(want).max())  # sums of n terms, right to a few eps of the largest
        assert_within(result[0].cpu().numpy(), want, size, dtype, name)


@dtypes
def test_matrices_of_a_batch_are_apart(dtype, new_memory_is_nan):
    both = [drawn(kind, 5) for kind in ("typical", "strong")]
    apart = [gpu.moments_vjp("relu", *(on_device(x, dtype) for x in one)) for one in both]
    together = gpu.moments_vjp(
        "relu", *(torch.cat([on_device(x, dtype) for x in pair]) for pair in zip(*both, strict=True))
    )
    for k, alone in enumerate(apart):
        assert all(torch.equal(a[0], b[k]) for a, b in zip(alone, together, strict=True))


@pytest.fixture
def few_programs(monkeypatch):
    """Programs that have many tiles, in groups of two, as those of a large matrix have of 32."""
    caches = matrices_vjp._schedule, matrices_vjp.matrix_vjp_variant
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(matrices_vjp, "PROGRAMS", 8)
    for module in (matrices, matrices_vjp):
        monkeypatch.setattr(module, "GROUP", 2)
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.slow
def test_overfull_tiles_among_others(few_programs, new_memory_is_nan):
    """A program asks for groups of tiles whether any is overfull, and computes those that are."""
    given = [drawn("typical", 25) for _ in range(6)]
    for k in (2, 5):  # the second of a program's first group, the last of another program's second one
        mu, cov, mean_bar, bar = given[k]
        sd = np.sqrt(np.diag(cov))
        given[k] = mu, sd[:, None] * sd * np.where(np.eye(25) > 0.0, 1.0, 0.99), mean_bar, bar
    arrays = (torch.cat([on_device(x, "float64") for x in column]) for column in zip(*given, strict=True))
    found = gpu.moments_vjp("relu", *arrays)
    for k, one in enumerate(given):
        for name, result, want in zip(("mu_bar", "cov_bar"), found, by_formulas("relu", *one), strict=True):
            size = np.full(want.shape, 25 * np.abs(want).max())
            assert_within(result[k].cpu().numpy(), want, size, "float64", name)


@dtypes
def test_infinite_slopes_without_weight(dtype, new_memory_is_nan):
    """The step of a neuron without variance on its kink has an infinite slope; what nothing asks for is 0."""
    mu = torch.tensor([[0.5, 0.0, -0.25]], dtype=getattr(torch, dtype), device=DEVICE)
    cov = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 2.0]], dtype=mu.dtype, device=DEVICE)[None]
    bar = torch.zeros_like(cov)
    bar[0, 0, 2] = bar[0, 2, 0] = 1.0
    found = gpu.moments_vjp("heaviside", mu, cov, torch.zeros_like(mu), bar)
    kept = [0, 2]
    alone = gpu.moments_vjp(
        "heaviside",
        mu[:, kept],
        cov[:, kept][..., kept].contiguous(),
        torch.zeros_like(mu[:, kept]),
        bar[:, kept][..., kept].contiguous(),
    )
    for got, want in zip(found, alone, strict=True):
        part = got[:, kept] if got.ndim == 2 else got[:, kept][..., kept]
        assert torch.allclose(part, want, rtol=8 * torch.finfo(mu.dtype).eps, atol=0.0)
    assert (found[0][0, 1] == 0.0) and (found[1][0, 1] == 0.0).all()


@pytest.mark.parametrize("n", (1, 6))
@dtypes
def test_gradients_along_parameters(n, dtype, new_memory_is_nan):
    """No matrix of numbers is kept on the way."""
    given = drawn("typical", n)
    own = [np.full(n, number) for number in numbers("leaky_relu")]
    want = by_formulas("leaky_relu", *given, *own)[2:]
    tensors = [on_device(x, dtype) for x in (*given, *own)]
    with Allocations(n * n) as of_matrices:
        found = gpu.parameter_vjp("leaky_relu", *tensors[:4], tuple(tensors[4:]))
    assert n == 1 or of_matrices.count == 0
    for result, expected in zip(found, want, strict=True):
        size = np.full(n, n * np.abs(expected).max())
        assert_within(result[0].cpu().numpy(), expected, size, dtype, "parameter")


def test_they_reach_the_kernel(monkeypatch):
    """By the public function and by autograd; the formulas on torch operations would take n x n numbers."""
    asked = []

    def noted(activation, mu, cov, mean_bar, cov_bar, parameters):
        asked.append(activation)
        return tuple(torch.full_like(mu, 3.0) for _ in parameters)

    as_on_a_card(monkeypatch)
    monkeypatch.setattr(gpu, "parameter_vjp", noted)
    monkeypatch.setattr(gpu, "moments", lambda activation, *arrays: None)
    monkeypatch.setattr(gpu, "moments_vjp", lambda activation, *arrays: (arrays[0], arrays[1]))
    mu, cov = torch.zeros(5, device=DEVICE), torch.eye(5, device=DEVICE)
    found = fm.leaky_relu_moments_vjp(mu, cov, mu, cov, return_parameters=True)
    slope = torch.full((5,), 0.1, device=DEVICE, requires_grad=True)
    fm.moments(fm.LeakyReLU(slope), mu, cov).cov.sum().backward()
    assert asked == ["leaky_relu"] * 2
    assert (found.parameters_bar["negative_slope"] == 3.0).all() and (slope.grad == 3.0).all()
