"""fastmoments beside other methods: error and time on the same inputs in one run, one thread, processor time.

usage: python -m benchmarks.peers             measure, write benchmarks/results/peers.json and docs/peers.md
       python -m benchmarks.peers networks    one part anew: cdf, relu, gelu, matrices or networks
       python -m benchmarks.peers --write     the page alone
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from mpmath import mp
from scipy import special
from scipy.special import ndtr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastmoments as fm
from benchmarks import baselines, gpu, pair_truth, peers_networks, peers_page
from benchmarks.approximations import RELU, Array
from benchmarks.data import DATA
from benchmarks.report import machine
from fastmoments_kernels.catalogue import row_of
from tests import truth

Pairs = tuple[Array, Array, Array]  # standardised means h and k, correlations
Method = Callable[[Array, Array, Array], Array]

COUNT = {"cdf": 48, "relu": 48, "gelu": 24}  # pairs of each band
TIMED, N, CHECKED = 2**14, 256, 32
SECONDS = 1.0  # seconds of every timing, with at least three calls
SAMPLES = (10**4, 10**5)
BANDS: dict[str, tuple[float, float, float | None]] = {  # h and k from, to, and |rho|, None for up to 0.9
    "0.9": (-3.0, 3.0, None),
    "0.99": (-3.0, 3.0, 0.99),
    "0.9999": (-3.0, 3.0, 0.9999),
    "1": (-3.0, 3.0, 1.0),
    "tail": (-12.0, -6.0, None),
}

SLOW = [band for band in BANDS if band != "1"]  # where gelu's truth takes minutes


def draw(band: str, count: int) -> Pairs:
    low, high, rho = BANDS[band]
    rng = np.random.default_rng(count)
    h, k = rng.uniform(low, high, size=(2, count))
    spread = rng.uniform(-0.9, 0.9, size=count)
    # opposite tails of a negative correlation multiply to nothing: the joint tail is compared
    return h, k, np.abs(spread) if band == "tail" else spread if rho is None else np.sign(spread) * rho


# what is exact


def cdf_truth(h: float, k: float, rho: float) -> Any:
    if abs(rho) < 1:
        return truth.bivariate_cdf(h, k, rho, 18).value
    with mp.workdps(40):
        return mp.ncdf(min(h, k)) if rho > 0 else max(mp.ncdf(h) - mp.ncdf(-k), mp.mpf(0))


def cov_truth(name: str, h: float, k: float, rho: float) -> Any:
    if abs(rho) < 1:
        return pair_truth.truth(name, h, k, rho)
    f = truth.activation(row_of(name))
    return truth.cov_truth(f, f, h, k, 1.0, 1.0, rho, 18).value


# what is compared


def one_by_one(function: Callable[..., Any]) -> Method:
    def method(*arrays: Array) -> Array:
        return np.array([function(*pair) for pair in zip(*arrays, strict=True)])

    return method


def cdf_methods() -> dict[str, Method]:
    """SciPy's ufunc, JAX's Owen's T and botorch, if they are installed."""
    methods: dict[str, Method] = {
        "fastmoments": fm.bivariate_normal_cdf,
        "SciPy multivariate_normal.cdf": one_by_one(baselines.bivariate_cdf),
        "quadrature, 20 nodes": lambda h, k, rho: ndtr(h) * ndtr(k) + baselines.plackett(h, k, rho, power=0),
    }
    methods["Owen's T, SciPy"] = baselines.by_owens_t(special.owens_t)
    of_jax = baselines.jax_owens_t()
    if of_jax is not None:
        methods["Owen's T, JAX"] = baselines.by_owens_t(of_jax)
    ufunc = getattr(special._ufuncs, "_bivariate_normal_cdf", None)
    if ufunc is not None:
        methods["SciPy's private ufunc"] = ufunc
    if find_spec("botorch") is not None:
        methods["botorch bvn"] = botorch_cdf
    return methods


def botorch_cdf(h: Array, k: Array, rho: Array) -> Array:
    import torch
    from botorch.utils.probability.bvn import bvnu

    # P(X > -h, Y > -k)
    return np.asarray(bvnu(*map(torch.from_numpy, (rho, -h, -k))))


def standard(function: Callable[..., Any]) -> Method:
    """A function of means, variances and the covariance at variances of 1."""
    return lambda h, k, rho: function(h, k, np.ones_like(h), np.ones_like(h), rho)


def relu_methods() -> dict[str, Method]:
    exact = {"fastmoments": standard(fm.relu_cov), "SciPy": one_by_one(standard_scalar(baselines.relu_scipy))}
    return exact | RELU


def gelu_methods() -> dict[str, Method]:
    def quadrature(h: Array, k: Array, rho: Array) -> Array:
        return baselines.gelu_quadrature(np.stack([h, k]), np.ones((2, len(h))), rho)

    def gain_map(h: Array, k: Array, rho: Array) -> Array:
        return rho * fm.gelu_gain(h, 1.0) * fm.gelu_gain(k, 1.0)

    return {
        "fastmoments": standard(fm.gelu_cov),
        "SciPy": one_by_one(standard_scalar(baselines.gelu_scipy)),
        "quadrature, 20 nodes": quadrature,
        "gain map": gain_map,
    }


def standard_scalar(function: Callable[..., float]) -> Callable[..., float]:
    return lambda h, k, rho: function(h, k, 1.0, 1.0, rho)


# measuring


def seconds(call: Callable[[], Any]) -> float:
    call()
    best, end, rounds = np.inf, time.monotonic() + SECONDS, 0
    while time.monotonic() < end or rounds < 3:
        start = time.process_time()
        call()
        best, rounds = min(best, time.process_time() - start), rounds + 1
    return float(best)


def errors(values: Iterable[float], exact: Iterable[Any]) -> list[tuple[float, float]]:
    """Absolute and relative errors; nan where a method returns no number."""
    with mp.workdps(30):
        found = [(abs(mp.mpf(float(v)) - t), t) for v, t in zip(values, exact, strict=True)]
        return [(float(e), float(e / abs(t)) if t else 0.0) for e, t in found]


def compare(
    methods: dict[str, Method], exact: Callable[..., Any], count: int, bands: Iterable[str] = BANDS
) -> dict[str, Any]:
    """The largest error of every method by band, relative in the tail, and nanoseconds per pair of the first."""
    found: dict[str, Any] = {name: {} for name in methods}
    for band in bands:
        pairs = draw(band, count)
        truths = [exact(*map(float, pair)) for pair in tqdm(list(zip(*pairs, strict=True)), desc=band)]
        for name, method in methods.items():
            with np.errstate(all="ignore"):
                both = errors(method(*pairs), truths)
            worst = np.max([error[band == "tail"] for error in both])
            found[name][band] = None if np.isnan(worst) else digits(worst)
    pairs = draw("0.9", count)
    many = tuple(np.resize(part, TIMED) for part in pairs)
    for name, method in methods.items():
        given = pairs if name.startswith("SciPy") and "ufunc" not in name else many
        found[name]["ns"] = digits(1e9 * seconds(partial(method, *given)) / len(given[0]))
    return found


def digits(value: float) -> float:
    return float(f"{value:.3g}")


# whole matrices


def by_pairs(method: Method) -> Callable[[Array, Array], Array]:
    """A covariance matrix of relu by a method for pairs, with exact variances."""

    def matrix(mu: Array, cov: Array) -> Array:
        sigma = np.sqrt(np.diag(cov))
        a, scale = mu / sigma, np.outer(sigma, sigma)
        rho = np.clip(cov / scale, -1, 1)
        h, k = np.broadcast_arrays(a[:, None], a)
        out = scale * method(h, k, rho)
        np.fill_diagonal(out, fm.relu_var(mu, np.diag(cov)))
        return out

    return matrix


def by_samples(samples: int) -> Callable[[Array, Array], Array]:
    def matrix(mu: Array, cov: Array) -> Array:
        z = np.random.default_rng(0).standard_normal((samples, len(mu)))
        return np.cov(np.maximum(mu + z @ np.linalg.cholesky(cov).T, 0), rowvar=False)

    return matrix


def by_jax() -> Callable[[Array, Array], Array]:
    import jax

    jitted = gpu.quadrature("jax")

    def matrix(mu: Array, cov: Array) -> Array:
        with jax.enable_x64(True):
            return np.asarray(jitted(mu, cov)[1])

    return matrix


def matrix_methods() -> dict[str, Callable[[Array, Array], Array]]:
    found = {"fastmoments": lambda mu, cov: fm.relu_moments(mu, cov).cov}
    found["quadrature, 20 nodes, NumPy"] = lambda mu, cov: baselines.relu_quadrature(mu, cov)[1]
    found["quadrature, 20 nodes, JAX"] = by_jax()
    found |= {name: by_pairs(method) for name, method in RELU.items() if not name.startswith("quadrature")}
    return found | {f"Monte Carlo, {samples:,} samples": by_samples(samples) for samples in SAMPLES}


def matrices(data: str) -> dict[str, Any]:
    """Milliseconds, and the largest error of some pairs divided by the product of their standard deviations."""
    layer, rng = DATA[data](N), np.random.default_rng(0)
    pairs = [rng.choice(N, size=2, replace=False) for _ in range(CHECKED)]
    mu, cov = layer.mu, layer.cov
    f, var, deviation = truth.activation(row_of("relu")), np.diag(cov), np.sqrt(fm.relu_var(mu, np.diag(cov)))
    exact = []
    for i, j in tqdm(pairs, desc=data):
        exact += [truth.cov_truth(f, f, *map(float, (mu[i], mu[j], var[i], var[j], cov[i, j])), 18).value]
    found = {}
    for name, method in matrix_methods().items():
        values = method(mu, cov)
        absolute = [error for error, _ in errors([values[i, j] for i, j in pairs], exact)]
        found[name] = {
            "error": digits(
                max(e / (deviation[i] * deviation[j]) for e, (i, j) in zip(absolute, pairs, strict=True))
            ),
            "ms": digits(1e3 * seconds(partial(method, mu, cov))),
        }
    return found


PARTS: dict[str, Callable[[], Any]] = {
    "cdf": lambda: compare(cdf_methods(), cdf_truth, COUNT["cdf"]),
    "relu": lambda: compare(relu_methods(), partial(cov_truth, "relu"), COUNT["relu"]),
    "gelu": lambda: compare(gelu_methods(), partial(cov_truth, "gelu"), COUNT["gelu"], SLOW),
    "matrices": lambda: {data: matrices(data) for data in DATA},
    "networks": peers_networks.networks,
}


def main(*names: str) -> None:
    if "--write" not in names:
        found: dict[str, Any] = json.loads(peers_page.RESULTS.read_text()) if names else {}
        fm.set_num_threads(1)
        with threadpool_limits(1):
            counts = COUNT | {"n": N, "checked": CHECKED, "timed": TIMED, "seeds": peers_networks.SEEDS}
            found |= {"machine": machine(), "counts": counts}
            for name in names or PARTS:
                found[name] = PARTS[name]()
        peers_page.RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(peers_page.write())


if __name__ == "__main__":
    main(*sys.argv[1:])
