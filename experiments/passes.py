"""Three ways to a Bayesian network's output for many inputs: weights' means, moments, drawn weights."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

import fastmoments as fm
from examples.volatility import forecast, sampled

ROUNDS = 4  # rounds of a timing; the first compiles
Model = torch.nn.Sequential


def layers(model: Model) -> list[Any]:
    """The layers: distributions of weights, and activations."""
    return [layer.distribution() if isinstance(layer, fm.nn.BayesLinear) else layer for layer in model]


def deterministic(model: Model, x: Any) -> Any:
    """A pass with the weights' means as weights."""
    for layer in layers(model):
        x = F.linear(x, layer[0], layer[2]) if isinstance(layer, tuple) else layer(x)
    return x


def full(model: Model, x: Any) -> fm.Marginals:
    """A pass of moments with the covariances between neurons."""
    found = [fm.nn.propagate(model, part, torch.zeros(*part.shape, part.shape[-1])) for part in x.split(1000)]
    return fm.Marginals(torch.cat([mean for mean, _ in found]), torch.cat([cov[..., 0] for _, cov in found]))


def together(model: Model, x: Any, passes: int) -> Any:
    """`sampled` for all networks at once, by batched products."""
    y = x.expand(passes, *x.shape)
    for layer in layers(model):
        if isinstance(layer, tuple):
            mean, var, bias, bias_var = layer
            weight = mean + torch.sqrt(var) * torch.randn(passes, *mean.shape)
            shift = bias + torch.sqrt(bias_var) * torch.randn(passes, 1, len(bias))
            y = torch.baddbmm(shift, y, weight.mT)
        else:
            y = layer(y)
    return y[..., 0]


def ways(passes: list[int]) -> dict[str, Callable[[Model, Any], Any]]:
    """Functions of model and inputs, by name."""
    found: dict[str, Callable[[Model, Any], Any]] = {"weights' means": deterministic}
    found |= {"moments": forecast, "moments, full covariance": full}
    for n in passes:
        found |= {f"{n} drawn": partial(sampled, passes=n), f"{n} drawn at once": partial(together, passes=n)}
    return found


@torch.no_grad()
def milliseconds(model: Model, x: Any, passes: list[int]) -> dict[str, float]:
    """Processor time of each way, timed in turn, the shortest of some rounds."""
    best = dict.fromkeys(ways(passes), math.inf)
    for _ in range(ROUNDS):
        for name, way in ways(passes).items():
            start = time.process_time()
            way(model, x)
            best[name] = min(best[name], 1e3 * (time.process_time() - start))
    return best


@torch.no_grad()
def forecasts(model: Model, x: Any, passes: list[int]) -> dict[str, tuple[Any, Any]]:
    """The mean of exp(output) of every way, and the standard deviation of the output if it has one."""
    return {name: summary(way(model, x)) for name, way in ways(passes).items()}


def summary(result: Any) -> tuple[Any, Any]:
    """The forecast from moments, from a single pass (rows, 1), or from drawn outputs (passes, rows)."""
    if isinstance(result, fm.Marginals):
        mean, var = (part[:, 0] for part in result)
        return torch.exp(mean + var / 2).numpy(), torch.sqrt(var).numpy()
    if result.shape[1] == 1:
        return torch.exp(result[:, 0]).numpy(), None
    return torch.exp(result).mean(0).numpy(), result.std(0).numpy()


@torch.no_grad()
def reference(model: Model, x: Any, passes: int) -> Any:
    """Standard deviations from many passes, a few at a time to limit memory."""
    return torch.cat([together(model, x, 10) for _ in range(passes // 10)]).std(0).numpy()
