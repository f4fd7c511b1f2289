"""Forecasts of simulated volatility: networks trained in several ways, and other forecasts to compare them with."""

import math
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch

import fastmoments as fm
from examples import volatility as example
from experiments import passes

NETWORKS = {  # activation, and the loss of the training
    "NPN, moments": ("npn", example.loss_by_moments),
    "NPN, drawn weights": ("npn", example.loss_by_sampling),
    "SiLU, drawn weights": ("silu", example.loss_by_sampling),
}
DRAWS = 50  # of the evidence bound
KNOWN = ("constant", "true variance", "GARCH(1, 1), fitted")
FLOOR, CEILING = 0.05, 8.0
LOG_SQUARE = -1.2704  # E log Z^2, Z ~ N(0, 1)


def bounded(g: Any) -> Any:
    """A variance from a bounded output."""
    return FLOOR + CEILING * torch.exp(-0.5 * g * g)


def by_bounded_output(model: Any, x: Any, y: Any) -> Any:
    variance = bounded(model(x))
    return 0.5 * (torch.log(variance) + y / variance).mean()


def by_squares(model: Any, x: Any, y: Any) -> Any:
    """The loss of squared returns: a Gaussian likelihood of variance 2, that of a squared standard return."""
    return ((model(x) - y) ** 2).mean() / 4


def by_log_squares(model: Any, x: Any, y: Any) -> Any:
    """The loss of logarithms of squared returns, whose variance is pi^2 / 2; a return may be 0."""
    return ((model(x) - torch.log(y + 1e-6)) ** 2).mean() / math.pi**2


# loss, variance of an output, and whether the network corrects an average of the past or a constant
TARGETS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], bool]] = {
    "log variance over an average, likelihood of the returns": (example.loss_by_sampling, torch.exp, True),
    "log variance, likelihood of the returns": (example.loss_by_sampling, torch.exp, False),
    "variance 0.05 + 8 exp(-g^2/2), likelihood of the returns": (by_bounded_output, bounded, False),
    "squared returns, squared error": (by_squares, partial(torch.clamp, min=FLOOR), False),
    "log squared returns, squared error": (by_log_squares, torch.exp, False),
    "the same less E log Z^2 = -1.27": (by_log_squares, lambda g: torch.exp(g - LOG_SQUARE), False),
}


@cache
def series(seed: int, rows: int) -> example.Data:
    torch.set_num_threads(1)
    return example.prepare(*example.simulate(rows, seed))


@cache
def trained(name: str, seed: int, rows: int, steps: int) -> tuple[torch.nn.Sequential, float]:
    """A network, and the milliseconds of a step."""
    activation, loss = NETWORKS[name]
    data = series(seed, rows)
    example.train(data, example.network(activation), 1, loss)  # compiles
    torch.manual_seed(seed)
    model, start = example.network(activation), time.process_time()
    example.train(data, model, steps, loss)
    return model, 1e3 * (time.process_time() - start) / steps


def quality(seed: int, size: dict[str, Any]) -> dict[str, Any]:
    """QLIKE of every forecast for one series; the networks' evidence bounds and milliseconds a step."""
    data = series(seed, size["rows"])
    variances = (data.level, data.variance, example.garch(data))
    found: dict[str, Any] = {"qlike": {}, "bound": {}, "step": {}}
    for name, variance in zip(KNOWN, variances, strict=True):
        found["qlike"][name] = example.qlike(data, variance)
    y = torch.tensor((data.squares / data.baseline)[: data.training, None], dtype=torch.float32)
    for name in NETWORKS:
        model, found["step"][name] = trained(name, seed, size["rows"], size["steps"])
        # SiLU's moments are a quadrature for every row and neuron
        way = example.forecast if NETWORKS[name][0] == "npn" else partial(example.sampled, passes=50)
        with torch.no_grad():
            factor, _ = passes.summary(way(model, data.features))
            losses = [example.loss_by_sampling(model, data.features[: data.training], y) for _ in range(DRAWS)]
            found["bound"][name] = float(sum(losses) / DRAWS + fm.nn.kl_divergence(model) / data.training)
        found["qlike"][name] = example.qlike(data, data.baseline * factor)
    return found


def target(name: str, size: dict[str, Any]) -> float:
    """QLIKE of 50 drawn networks, trained on the first series with another loss."""
    loss, variance_of, corrects = TARGETS[name]
    data = series(0, size["rows"])
    baseline = data.baseline if corrects else np.full_like(data.baseline, data.level)
    torch.manual_seed(0)
    model = example.network()
    example.train(data._replace(baseline=baseline), model, size["steps"], loss)
    g = example.sampled(model, data.features, 50)
    return example.qlike(data, baseline * variance_of(g).mean(0).numpy())
