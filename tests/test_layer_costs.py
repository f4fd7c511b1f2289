"""What layers cost: how many products of matrices they take, and how much memory at most."""

import tracemalloc
from functools import cache

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
N = 768
MATRIX = 8 * N * N  # bytes
# beside matrices: panels of 128 rows, three at a time; neurons' features and series' coefficients, tiles, objects
REST = 3 * MATRIX * 128 / N + 2**21


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
    """Layers of N neurons: what is called, and the products of N x N that it may take."""
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
    """One triangle of the second suffices, so that a layer takes fewer than two; what is taken is counted."""
    call, most = calls(*map(torch.from_numpy, layer()))[name]
    with FlopCounterMode(display=False) as count:
        call()
    assert most / 2 < count.get_total_flops() / (2 * N**3) < most


def test_the_identity_is_no_product_on_jax():
    """A cov and A cov A^T are all that is multiplied."""
    jax = pytest.importorskip("jax")

    def of(mu, cov, weight):
        return fm.residual_moments("relu", mu, cov, weight, C="identity")

    given = [jax.ShapeDtypeStruct(x.shape, np.float32) for x in layer()]
    traced = str(jax.make_jaxpr(of)(*given))
    lines = [line for line in traced.splitlines() if "dot_general" in line]
    assert sum(f"f32[{N},{N}] = dot_general" in line for line in lines) == 2


def peak_of_arrays(call):
    """Bytes beside the arguments, the result among them."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_of_tensors(call):
    """The same of PyTorch's allocator, and of NumPy's at its own worst moment."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        arrays = peak_of_arrays(call)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return arrays + max(np.cumsum(sizes))


CASES = [("numpy", name) for name in EVERY] + [("torch", name) for name in (*EVERY, *NETWORKS)]


@pytest.mark.parametrize(("framework", "name"), CASES)
def test_memory_is_the_output_and_two_matrices(framework, name):
    convert, peak = (np.asarray, peak_of_arrays) if framework == "numpy" else (torch.from_numpy, peak_of_tensors)
    call, _ = calls(*map(convert, layer()))[name]
    call()  # what is compiled or tabulated once
    used = peak(call)
    assert MATRIX < used <= 3 * MATRIX + REST, used / MATRIX
