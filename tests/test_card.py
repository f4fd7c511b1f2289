"""Tests that need a card: many streams at once, captured graphs, wide words at full size."""

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

N = 513  # several tiles and a part of one


def gaussian(seed, dtype=torch.float32):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(N, 2 * N)) / np.sqrt(2 * N)
    return (torch.as_tensor(x, device="cuda").to(dtype) for x in (rng.normal(size=N), root @ root.T))


def layer(mu, cov):
    """Every fused kernel once: matrices, a residual layer, a layer of Gaussian weights."""
    mean, full = fm.residual_moments("relu", mu, cov, cov, C="identity")
    return mean, full, *fm.bayes_linear_marginals(mu, cov.diagonal(), cov, cov * cov, activation="npn")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_are_the_cpu_kernels(dtype):
    mu, cov = gaussian(0, dtype)
    want = fm.relu_moments(mu.double().cpu().numpy(), cov.double().cpu().numpy())
    mean, full = fm.relu_moments(mu, cov)
    sd = np.sqrt(np.diag(want.cov))
    eps = torch.finfo(dtype).eps
    # the contract; a value's condition number is about h^2 + k^2, and of 513 standard normal h none is beyond 4
    assert np.max(np.abs(full.double().cpu().numpy() - want.cov) / np.outer(sd, sd)) <= 8 * eps * (1 + 32)
    assert np.max(np.abs(mean.double().cpu().numpy() - want.mean) / want.mean) <= 8 * eps * (1 + 16)
    assert torch.equal(full, full.mT)


def test_streams_do_not_race():
    inputs = [tuple(gaussian(seed)) for seed in range(4)]
    wanted = [layer(*arrays) for arrays in inputs]
    streams = [torch.cuda.Stream() for _ in inputs]
    torch.cuda.synchronize()
    for _ in range(20):
        found = []
        for stream, arrays in zip(streams, inputs, strict=True):
            with torch.cuda.stream(stream):
                found.append(layer(*arrays))
        torch.cuda.synchronize()
        for got, want in zip(found, wanted, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_graphs_are_captured_and_replayed():
    """No call waits for the card, which a capture forbids."""
    arrays = tuple(gaussian(0))
    layer(*arrays)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = layer(*arrays)
    for seed in (1, 2):
        fresh = tuple(gaussian(seed))
        for static, array in zip(arrays, fresh, strict=True):
            static.copy_(array)
        graph.replay()
        torch.cuda.synchronize()
        for got, want in zip(captured, layer(*fresh), strict=True):
            assert torch.equal(got, want)
