"""Networks of three layers of 64 that are trained on California's house prices."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from examples import house_network
from experiments.methods import Layers
from experiments.suites import Problem
from fastmoments.compare import Affine, Residual

WIDTH, DEPTH, RATE, ROWS, BATCH = 64, 3, 3e-3, 4096, 512


def california(activation: str, scale: float, houses: int, steps: int) -> Iterator[Problem]:
    """House prices with inputs read with noise of `scale` times the features' covariance, around some houses."""
    data = house_network.load(ROWS, houses, seed=0)
    cov = scale * np.cov(data.train_x.T)
    for mu in data.test_x:
        yield Problem(trained(activation, steps), mu, cov)


@cache
def trained(activation: str, steps: int) -> Layers:
    """Three layers of 64 that Adam has fitted to log prices; float32 is faster, and any trained network serves."""
    torch.set_num_threads(1)
    data = house_network.load(ROWS, 1, seed=0)
    x, y = (torch.from_numpy(part).float() for part in (data.train_x, data.train_y))
    widths = [house_network.FEATURES, *[WIDTH] * DEPTH]
    rng = np.random.default_rng(0)
    start = [
        (rng.normal(size=(m, n)) * np.sqrt(2 / n), np.zeros(m))
        for n, m in zip(widths, [*widths[1:], 1], strict=True)
    ]
    parameters = [torch.from_numpy(part).float().requires_grad_() for layer in start for part in layer]
    function = getattr(torch.nn.functional, activation)
    optimiser = torch.optim.Adam(parameters, RATE)
    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(len(x), size=BATCH))
        h = x[rows]
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            h = function(torch.addmm(bias, h, weight.mT))
        loss = torch.mean((torch.addmm(parameters[-1], h, parameters[-2].mT)[:, 0] - y[rows]) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = [part.detach().double().numpy() for part in parameters]
    *hidden, last = zip(found[::2], found[1::2], strict=True)
    return [*(Residual(activation, *layer) for layer in hidden), Affine(*last)]
