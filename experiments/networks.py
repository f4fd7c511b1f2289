"""Kuang and Lin's random networks: three inputs, one output, in PyTorch for training and sampling.

Their draft's specification: weights N(0, 1 / fan-in); biases N(0, 1) for probit, uniform in (-pi, pi) for sine; a
residual network adds the identity around square layers; the output layer is linear without a bias. ReLU and GELU,
which the draft has not, have weights N(0, 2 / fan-in), which keep a ReLU network's scale, and biases N(0, 1).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import qmc

import fastmoments as fm
from experiments.methods import Layers
from fastmoments.compare import Affine, Residual

INPUTS = 3
ARCHITECTURES = {"2x50": (2, 50), "2x400": (2, 400), "8x100": (8, 100)}
CHUNK = 4096
TRAINED = 1e-8  # the loss at which training may stop
RATE = 1e-3


class Activation(NamedTuple):
    """The function, fastmoments' object for it, the factor of that object's input, and the weights' gain."""

    function: Callable[[Any], Any]
    activation: Any
    scale: float = 1.0
    gain: float = 1.0


ACTIVATIONS = {
    # the paper's probit is 2 Phi(x) - 1 = erf(x / sqrt(2))
    "probit": Activation(lambda x: torch.erf(0.5**0.5 * x), fm.Erf(), 0.5**0.5),
    "sine": Activation(torch.sin, fm.Sin()),
    "relu": Activation(torch.relu, fm.ReLU(), gain=2.0),
    "gelu": Activation(torch.nn.functional.gelu, fm.GELU(), gain=2.0),
}


class Network(NamedTuple):
    """The hidden layers' weights and biases, the output's weights."""

    activation: Activation
    is_residual: bool
    weights: list[torch.Tensor]
    biases: list[torch.Tensor]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (rows,) at the points x (rows, 3)."""
        *hidden, last = self.weights
        for A, b in zip(hidden, self.biases, strict=True):
            y = self.activation.function(torch.addmm(b, x, A.T))
            x = y + x if self.is_residual and y.shape == x.shape else y
        return (x @ last.T)[:, 0]

    def to(self, dtype: torch.dtype) -> "Network":
        return self._replace(weights=[A.to(dtype) for A in self.weights], biases=[b.to(dtype) for b in self.biases])

    def layers(self) -> Layers:
        """The network in the form that fastmoments.compare takes."""
        _, activation, scale, _ = self.activation
        *hidden, last = (A.detach().numpy() for A in self.weights)
        biases = [b.detach().numpy() for b in self.biases]
        steps = [
            Residual(activation, scale * A, scale * b, "identity" if self._skips(A) else None)
            for A, b in zip(hidden, biases, strict=True)
        ]
        return [*steps, Affine(last)]

    def _skips(self, A: Any) -> bool:
        return self.is_residual and A.shape[0] == A.shape[1]


def initialised(architecture: str, activation: str, is_residual: bool, seed: int) -> Network:
    depth, width = ARCHITECTURES[architecture]
    rng, chosen = np.random.default_rng(seed), ACTIVATIONS[activation]
    shapes = [(width, INPUTS), *[(width, width)] * (depth - 1)]
    weights = [rng.normal(scale=np.sqrt(chosen.gain / n), size=(m, n)) for m, n in shapes]
    biases = [rng.uniform(-np.pi, np.pi, m) if activation == "sine" else rng.normal(size=m) for m, _ in shapes]
    weights.append(rng.normal(scale=np.sqrt(1 / width), size=(1, width)))
    return Network(
        chosen, is_residual, *([torch.from_numpy(part) for part in parts] for parts in (weights, biases))
    )


def trained(network: Network, steps: int, seed: int) -> tuple[Network, float]:
    """Train by AdamW until ten standard normal pairs (x, y) are memorised, as in the draft; return the loss too."""
    rng = np.random.default_rng(seed)
    x, y = torch.from_numpy(rng.normal(size=(10, INPUTS))), torch.from_numpy(rng.normal(size=10))
    parameters = [part.requires_grad_() for part in (*network.weights, *network.biases)]
    optimiser = torch.optim.AdamW(parameters, RATE)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.mean((network(x) - y) ** 2)
        if loss < TRAINED:
            break
        loss.backward()
        optimiser.step()
    return network._replace(
        weights=[A.detach() for A in network.weights], biases=[b.detach() for b in network.biases]
    ), float(loss.detach())


def sobol_normal(repetitions: int, points: int) -> torch.Tensor:
    """Scrambled Sobol points as standard normal ones, (repetitions, points, 3)."""
    rng = np.random.default_rng(0)
    engines = (qmc.Sobol(INPUTS, seed=stream) for stream in rng.spawn(repetitions))
    z = [qmc.MultivariateNormalQMC(np.zeros(INPUTS), engine=engine).random(points) for engine in engines]
    return torch.from_numpy(np.array(z))


def outputs(network: Network, x: torch.Tensor) -> torch.Tensor:
    """Outputs at the points (rows, 3), computed in their dtype, returned in float64."""
    typed = network.to(x.dtype)
    with torch.no_grad():
        return torch.cat([typed(part) for part in x.split(CHUNK)]).double()
