"""A Bayesian network that forecasts volatility, and says how sure it is, in one pass instead of 20 or 50.

    python examples/volatility.py                 simulated GARCH returns, half a minute
    python examples/volatility.py --bars FILE     returns of a CSV file's column "close"
    python examples/volatility.py --fast          seconds

The network corrects the geometric mean of a few averages of past squared returns: its output is the logarithm of
the factor by which the next return's variance differs from that. Its weights are Gaussian; in training and
afterwards they are carried as means and variances, and nothing is drawn.
"""

import argparse
import math
import time
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.signal import lfilter
from torch import nn

import fastmoments as fm

ALPHA, BETA = 0.12, 0.85  # of the simulated GARCH(1, 1); its variance is 1 on average
HALF_LIVES = (1, 5, 20, 60)
WARM_UP, TRAINING = 300, 0.6  # rows in which the averages settle; share of the rest


class Data(NamedTuple):
    """Rows in order of time: squared returns, what is known before each, and how many are trained on."""

    squares: np.ndarray
    features: torch.Tensor  # (rows, len(HALF_LIVES)), standardised by the training rows
    baseline: np.ndarray  # what the network corrects
    variance: np.ndarray | None  # the true one, if it is known
    training: int

    @property
    def level(self) -> float:
        """Mean square of the training rows, a constant forecast."""
        return float(self.squares[: self.training].mean())


def simulate(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared returns of a GARCH(1, 1) with Gaussian innovations, and their variances."""
    z = np.random.default_rng(seed).standard_normal(rows) ** 2
    variance = np.ones(rows)
    for t in range(1, rows):
        variance[t] = 1 - ALPHA - BETA + (ALPHA * z[t - 1] + BETA) * variance[t - 1]
    return z * variance, variance


def read(path: str) -> np.ndarray:
    """Squared logarithmic returns of the closing prices in a CSV file with a line of names."""
    close = np.genfromtxt(path, delimiter=",", names=True, usecols="close")["close"]
    return np.diff(np.log(close)) ** 2


def average(squares: np.ndarray, decay: float) -> np.ndarray:
    """Exponentially weighted mean of what came before each row."""
    start = squares[:WARM_UP].mean()
    return start + lfilter([0, 1 - decay], [1, -decay], squares - start)


def prepare(squares: np.ndarray, variance: np.ndarray | None = None) -> Data:
    """Averages of the past as logarithms: standardised for the network, and their mean as what it corrects."""
    known = np.stack([np.log(average(squares, 0.5 ** (1 / life))) for life in HALF_LIVES], -1)[WARM_UP:]
    training, baseline = int(TRAINING * len(known)), np.exp(known.mean(-1))
    known = (known - known[:training].mean(0)) / known[:training].std(0)
    features = torch.tensor(known, dtype=torch.float32)
    return Data(squares[WARM_UP:], features, baseline, None if variance is None else variance[WARM_UP:], training)


def network(activation: str | None = "npn", sizes: tuple[int, ...] = (64, 32)) -> nn.Sequential:
    """Layers of Gaussian weights; the priors' variances are 1 / fan-in, so that the output's is of order 1."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((len(HALF_LIVES), *sizes), (*sizes, 1), strict=True):
        layers += [fm.nn.BayesLinear(inputs, outputs, prior_sd=inputs**-0.5)]
        layers += [fm.nn.Activation(fm.NPN()) if activation == "npn" else nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def forecast(model: nn.Module, x: torch.Tensor) -> fm.Marginals:
    """Mean and variance of the output, by the uncertainty of the weights."""
    return fm.nn.propagate(model, x, torch.zeros_like(x), covariance="diagonal")


def loss_by_moments(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """-E log p(return | weights) for a Gaussian output, up to a constant: E exp(-g) = exp(-mean + var / 2)."""
    mean, var = forecast(model, x)
    return 0.5 * (mean + y * torch.exp(0.5 * var - mean)).mean()


def loss_by_sampling(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the loss with one draw of the weights."""
    g = model(x)
    return 0.5 * (g + y * torch.exp(-g)).mean()


def train(data: Data, model: nn.Module, steps: int, loss=loss_by_moments, rate: float = 0.01) -> None:
    """Maximise the evidence lower bound, in batches."""
    x = data.features[: data.training]
    y = torch.tensor((data.squares / data.baseline)[: data.training, None], dtype=torch.float32)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        rows = torch.randint(len(x), (512,))
        optimiser.zero_grad()
        (loss(model, x[rows], y[rows]) + fm.nn.kl_divergence(model) / len(x)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def qlike(data: Data, variance: np.ndarray | float) -> float:
    """Mean of log variance + square / variance over the rows not trained on: lowest for the true variance."""
    # in units of the constant forecast, so that returns of any size compare
    ratio = np.broadcast_to(variance, data.squares.shape)[data.training :] / data.level
    return float(np.mean(np.log(ratio) + data.squares[data.training :] / data.level / ratio))


def garch(data: Data) -> np.ndarray:
    """Variances of a GARCH(1, 1) fitted to the training rows by maximum likelihood."""
    squares = data.squares / data.level

    def variance(theta: np.ndarray) -> np.ndarray:
        alpha, beta, level = 1 / (1 + np.exp(-theta[0])), 1 / (1 + np.exp(-theta[1])), np.exp(theta[2])
        return level * (1 - alpha) + alpha * average(squares, beta)

    def loss(theta: np.ndarray) -> float:
        v = variance(theta)[: data.training]
        return float(np.mean(np.log(v) + squares[: data.training] / v))

    return data.level * variance(minimize(loss, [1.0, 2.0, 0.0], method="Nelder-Mead").x)


@torch.no_grad()
def sampled(model: nn.Module, x: torch.Tensor, passes: int) -> torch.Tensor:
    """Outputs of that many networks drawn one after the other, (passes, rows)."""
    return torch.stack([model(x)[:, 0] for _ in range(passes)])


def main() -> None:
    """Print what each forecast is worth, and what it costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", metavar="FILE", help='a CSV file with a column "close"')
    parser.add_argument("--fast", action="store_true", help="fewer rows and training steps")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the matrices are small
    data = prepare(read(given.bars)) if given.bars else prepare(*simulate(6000 if given.fast else 30000, seed=0))
    model = network()
    train(data, model, 150 if given.fast else 1000)

    print("forecast                      QLIKE     ms    correlation of the uncertainties")
    print(f"{'constant variance':26}{qlike(data, data.level):9.4f}")
    if data.variance is not None:
        print(f"{'the true variance':26}{qlike(data, data.variance):9.4f}")
    print(f"{'GARCH(1, 1), fitted':26}{qlike(data, garch(data)):9.4f}")
    with torch.no_grad():
        forecast(model, data.features[:1])
        start = time.perf_counter()
        mean, var = (part[:, 0] for part in forecast(model, data.features))
        elapsed = time.perf_counter() - start
    value = qlike(data, data.baseline * torch.exp(mean + var / 2).numpy())
    print(f"{'network, one pass':26}{value:9.4f}{1e3 * elapsed:7.1f}")
    for passes in (20, 50):
        start = time.perf_counter()
        g = sampled(model, data.features, passes)
        elapsed = time.perf_counter() - start
        value = qlike(data, data.baseline * torch.exp(g).mean(0).numpy())
        both = torch.corrcoef(torch.stack([g.std(0), var.sqrt()])[:, data.training :])[0, 1]
        print(f"{f'network, {passes} sampled passes':26}{value:9.4f}{1e3 * elapsed:7.1f}{both:10.3f}")
    shown = torch.tensor(data.baseline[-3:]) * torch.exp(mean[-3:]), torch.sqrt(var[-3:])
    print("\nthe last three variances, each with the factor that one standard deviation is:")
    print(
        ", ".join(f"{v:.3g} */ {math.exp(s):.2f}" for v, s in zip(*(part.tolist() for part in shown), strict=True))
    )


if __name__ == "__main__":
    main()
