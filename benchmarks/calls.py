"""The calls that figures time: each function makes two, ours and the divisor, or a time in its place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import owens_t

import fastmoments as fm
from benchmarks.data import DATA

Call = Callable[[], Any]

SMALL, BATCH = 16, 4096  # neurons, matrices
NUMPY, WITHOUT_GRADIENT, WITH_GRADIENT = HOW = "NumPy", "PyTorch, no gradient", "PyTorch, with gradient"
PERCEPTRON = (784, 1024, 1024, 10)


def against_products(name: str, data: str, n: int = 1024) -> Callable[[], tuple[Call, Call]]:
    """An activation's moments divided by the two products of the linear layer before it."""

    def make() -> tuple[Call, Call]:
        layer, moments = DATA[data](n), getattr(fm, f"{name}_moments")
        out = moments(layer.mu, layer.cov)  # whose memory begins at a line
        return (
            lambda: moments(layer.mu, layer.cov, out=out),
            lambda: layer.weight @ layer.cov_in @ layer.weight.T,
        )

    return make


def against_copy() -> tuple[Call, Call]:
    layer = DATA["typical"](4096)
    out = fm.relu_moments(layer.mu, layer.cov)
    return lambda: fm.relu_moments(layer.mu, layer.cov, out=out), lambda: np.copyto(out[1], layer.cov)


def backward() -> tuple[Call, Call]:
    layer, rng = DATA["typical"](1024), np.random.default_rng(0)
    bars = rng.normal(size=1024), rng.normal(size=(1024, 1024))
    return (
        lambda: fm.relu_moments_vjp(layer.mu, layer.cov, *bars),
        lambda: fm.relu_moments(layer.mu, layer.cov),
    )


def single() -> tuple[Call, Call]:
    layer = DATA["typical"](1024)
    mu, cov = layer.mu.astype(np.float32), layer.cov.astype(np.float32)
    return lambda: fm.relu_moments(mu, cov), lambda: fm.relu_moments(layer.mu, layer.cov)


def two_threads() -> tuple[Call, Call]:
    layer = DATA["typical"](4096)
    out = fm.relu_moments(layer.mu, layer.cov)

    def on(threads: int) -> None:
        fm.set_num_threads(threads)
        fm.relu_moments(layer.mu, layer.cov, out=out)
        fm.set_num_threads(1)

    return lambda: on(2), lambda: on(1)


def low_rank(n: int, rank: int, nanoseconds: float) -> Callable[[], tuple[Call, float]]:
    """relu's moments of matrices of a rank, divided by the time that their pairs may take."""

    def make() -> tuple[Call, float]:
        rng = np.random.default_rng(0)
        root = rng.normal(size=(BATCH, n, rank)) / rank**0.5
        mu, cov = rng.normal(size=(BATCH, n)), root @ np.swapaxes(root, -1, -2)
        return lambda: fm.relu_moments(mu, cov), 1e-9 * nanoseconds * BATCH * n * (n - 1) / 2

    return make


def covariances(least: float, most: float, nanoseconds: float) -> Callable[[], tuple[Call, float]]:
    """relu_cov of a million pairs with |rho| in a range, divided by the time that they may take."""

    def make() -> tuple[Call, float]:
        h, k, sign = points()
        rho = np.sign(sign) * (least + (most - least) * np.abs(sign))
        return lambda: fm.relu_cov(h, k, 1.0, 1.0, rho), 1e-9 * nanoseconds * len(h)

    return make


def points() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    h, k, rho = *rng.normal(size=(2, 10**6)), rng.uniform(-1, 1, 10**6)
    return h, k, rho


def bivariate() -> tuple[Call, Call]:
    h, k, rho = points()
    return lambda: fm.bivariate_normal_cdf(h, k, rho), lambda: owens_t(h, k)


def batch() -> tuple[Call, Call]:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(BATCH, SMALL, SMALL)) / SMALL**0.5
    mu, cov = rng.normal(size=(BATCH, SMALL)), root @ np.swapaxes(root, -1, -2)
    return lambda: fm.relu_moments(mu, cov), lambda: [fm.relu_moments(m, c) for m, c in zip(mu, cov, strict=True)]


def network_weights() -> tuple[Any, list[Any]]:
    """Rows, and the weights' means of a network 16-64-32-1."""
    rng, sizes = np.random.default_rng(0), (16, 64, 32, 1)
    x = rng.normal(size=(100_000, 16)).astype(np.float32)
    return x, [rng.normal(size=(m, n)).astype(np.float32) / np.sqrt(np.float32(n)) for n, m in layers(sizes)]


def moments_of_network(activation: str | None) -> Call:
    """Mean and variance of the output, the weights' variances 0.01."""
    x, means = network_weights()
    variances = [np.full_like(mean, 0.01) for mean in means]

    def analytic() -> None:
        mu, var = x, np.zeros_like(x)
        for i, (mean, spread) in enumerate(zip(means, variances, strict=True)):
            mu, var = fm.bayes_linear_marginals(mu, var, mean, spread, activation=activation if i < 2 else None)

    return analytic


def network(passes: int) -> Callable[[], tuple[Call, Call]]:
    """A three-layer NPN network with Gaussian weights, divided by deterministic torch passes."""

    def make() -> tuple[Call, Call]:
        x, means = network_weights()
        tensors, rows = [torch.from_numpy(mean) for mean in means], torch.from_numpy(x)

        def deterministic() -> None:
            y = rows
            for i, weight in enumerate(tensors):
                y = y @ weight.T
                y = 1 - 2 * torch.exp(-0.5 * y * y) if i < 2 else y

        def sampled() -> None:
            for _ in range(passes):
                deterministic()

        return moments_of_network("npn"), sampled

    return make


def layers(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer."""
    return list(zip(sizes[:-1], sizes[1:], strict=True))


def needed(sizes: tuple[int, ...]) -> float:
    """The share of the multiplications of A cov A^T that one triangle of each result needs."""
    return sum(m * n * (n + m / 2) for n, m in layers(sizes)) / sum(m * n * (n + m) for n, m in layers(sizes))


def perceptron(threads: int) -> Callable[[], tuple[Call, Call]]:
    """A Gaussian through a torch network, full covariance, divided by the products A cov A^T of its layers."""

    def make() -> tuple[Call, Call]:
        rng, sizes = np.random.default_rng(0), PERCEPTRON
        relu, linear = torch.nn.ReLU, [torch.nn.Linear(n, m) for n, m in layers(sizes)]
        model = torch.nn.Sequential(linear[0], relu(), linear[1], relu(), linear[2]).requires_grad_(False)
        factors = [rng.normal(size=(n, 2 * n)) / np.sqrt(2 * n) for n in sizes[:-1]]
        covs = [torch.tensor(factor @ factor.T, dtype=torch.float32) for factor in factors]
        mu = torch.tensor(rng.normal(size=sizes[0]), dtype=torch.float32)

        def on_threads(call: Call) -> None:
            torch.set_num_threads(threads)
            fm.set_num_threads(threads)
            call()
            fm.set_num_threads(1)
            torch.set_num_threads(1)

        def products() -> None:
            for layer, cov in zip(linear, covs, strict=True):
                layer.weight @ cov @ layer.weight.T

        return (
            lambda: on_threads(lambda: fm.nn.propagate(model, mu, covs[0])),
            lambda: on_threads(products),
        )

    return make


def thousand(name: str, microseconds: float, how: str) -> Callable[[], tuple[Call, float]]:
    """A thousand calls on eight neurons, forward, divided by the time they may take; `how` is one of HOW."""

    def make() -> tuple[Call, float]:
        layer, function = DATA["typical"](8), getattr(fm, f"relu_{name}")
        given: tuple[Any, Any] = layer.mu, layer.cov if name == "moments" else layer.cov.diagonal().copy()
        if how != NUMPY:
            given = torch.from_numpy(given[0]), torch.from_numpy(given[1])
        if how == WITH_GRADIENT:
            given = given[0].requires_grad_(), given[1].requires_grad_(name == "moments")

        def calls() -> None:
            for _ in range(1000):
                function(*given)

        return calls, 1e-3 * microseconds

    return make


def with_one_term(name: str, n: int) -> Callable[[], dict[str, Call]]:
    """The matrix with correlations so weak that one term suffices, to time what does not depend on terms."""

    def make() -> dict[str, Call]:
        layer, moments = DATA["typical"](n), getattr(fm, f"{name}_moments")
        cov = np.where(np.eye(n, dtype=bool), layer.cov, 1e-12 * layer.cov)
        out = moments(layer.mu, cov)
        return {"rest": lambda: moments(layer.mu, cov, out=out)}

    return make
