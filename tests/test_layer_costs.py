"""The costs of layers: the number of products of matrices, and the most memory."""

import sys
import tracemalloc
from functools import cache

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.profiler import ProfilerActivity, profile, record_function  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
N = 768
MATRIX = 8 * N * N  # bytes
MARK = "the moments at which memory is counted"
# Memory beside matrices: four panels of 128 rows, two terms, their sum and the sum of the panel before; and 1.5 MB
# that do not grow with N^2: neurons' features, coefficients of series, a thread's tiles, Python's objects.
REST = 4 * MATRIX * 128 / N + 2**21


@cache
def layer():
    rng = np.random.default_rng(0)
    low = rng.normal(size=(N, 8))
    return rng.normal(size=N), low @ low.T + np.diag(rng.uniform(1, 2, N)), rng.normal(size=(N, N)) / np.sqrt(N)


class Skip(nn.Module):
    """x + relu(A x), which is residual_moments of C = "identity"."""

    def __init__(self, weight):
        super().__init__()
        self.linear, self.activation = nn.Linear(N, N, dtype=weight.dtype), nn.ReLU()
        self.linear.weight = nn.Parameter(weight, requires_grad=False)
        self.linear.bias.requires_grad_(False)

    def forward(self, x):
        return x + self.activation(self.linear(x))


def networks(weight):
    stack = (nn.Linear(N, N, dtype=weight.dtype), nn.ReLU(), nn.Linear(N, N, dtype=weight.dtype), nn.ReLU())
    return Skip(weight), nn.Sequential(*stack).requires_grad_(False)


def calls(mu, cov, weight):
    """Calls of layers of N neurons, and the number of N x N products that each may take."""
    spread = weight * weight
    found = {
        "affine": (lambda: fm.affine_moments(mu, cov, weight), 2),
        "residual": (lambda: fm.residual_moments("relu", mu, cov, weight), 2),
        "residual, identity": (lambda: fm.residual_moments("relu", mu, cov, weight, C="identity"), 2),
        "residual, matrix": (lambda: fm.residual_moments("relu", mu, cov, weight, C=weight), 4),
        "bayesian": (lambda: fm.bayes_linear_moments(mu, cov, weight, spread, activation="relu"), 2),
    }
    if isinstance(mu, torch.Tensor):
        skip, stack = networks(weight)
        found["x + f(x)"] = (lambda: fm.nn.propagate(skip, mu, cov), 2)
        found["two layers"] = (lambda: fm.nn.propagate(stack, mu, cov), 4)
    return found


EVERY = ("affine", "residual", "residual, identity", "residual, matrix", "bayesian")
NETWORKS = ("x + f(x)", "two layers")


@pytest.mark.parametrize("name", (*EVERY, *NETWORKS))
def test_products_of_matrices(name):
    """A layer takes fewer than two products, because one triangle of the second suffices; products are counted."""
    call, most = calls(*map(torch.from_numpy, layer()))[name]
    with FlopCounterMode(display=False) as count:
        call()
    assert most / 2 < count.get_total_flops() / (2 * N**3) < most


def test_the_identity_is_no_product_on_jax():
    """A cov and A cov A^T are the only products."""
    jax = pytest.importorskip("jax")

    def of(mu, cov, weight):
        return fm.residual_moments("relu", mu, cov, weight, C="identity")

    given = [jax.ShapeDtypeStruct(x.shape, np.float32) for x in layer()]
    traced = str(jax.make_jaxpr(of)(*given))
    lines = [line for line in traced.splitlines() if "dot_general" in line]
    assert sum(f"f32[{N},{N}] = dot_general" in line for line in lines) == 2


def peak(call):
    """The most bytes at a time beside the arguments, with the result, of all allocators.

    Python's allocator, which NumPy and Numba use too, and PyTorch's are read at every call and return of a
    function, C functions included. Between two readings either may be at work, and the worst of both is taken.
    """
    worst_of_arrays = []

    def mark(*_):
        worst_of_arrays.append(tracemalloc.get_traced_memory()[1])
        with record_function(MARK):
            pass
        tracemalloc.reset_peak()

    before = sys.getprofile()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        tracemalloc.start()
        sys.setprofile(mark)
        try:
            call()
        finally:
            sys.setprofile(before)
            mark()
            tracemalloc.stop()
    worst_of_tensors = between_marks(profiler.profiler.kineto_results.events())
    return max(map(sum, zip(worst_of_arrays, worst_of_tensors, strict=True)))


def between_marks(events):
    """The most bytes that PyTorch has between each mark and the mark before it."""
    now, worst = 0, [0]
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == MARK:
            worst.append(now)
        elif event.name() == "[memory]":
            now += event.nbytes()
            worst[-1] = max(worst[-1], now)
    return worst[:-1]


CASES = [("numpy", name) for name in EVERY] + [("torch", name) for name in (*EVERY, *NETWORKS)]


@pytest.mark.parametrize(("framework", "name"), CASES)
def test_memory_is_the_output_and_two_matrices(framework, name, threads):
    threads(1)  # each has tiles of its own
    convert = np.asarray if framework == "numpy" else torch.from_numpy
    call, _ = calls(*map(convert, layer()))[name]
    call()  # compile and tabulate once
    used = peak(call)
    assert MATRIX < used <= 3 * MATRIX + REST, used / MATRIX
