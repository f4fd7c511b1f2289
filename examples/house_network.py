"""California house prices of 1990, and ReLU networks with skip connections trained on them by L-BFGS."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from tqdm import tqdm

import fastmoments as fm
from fastmoments.compare import Affine, Residual

DATA = Path(__file__).resolve().parent / "data" / "california_housing.csv"
FEATURES = 8
WIDTH = 32
# A little weight decay: it costs no accuracy and keeps the optimiser from running off along flat directions.
DECAY = 1e-4


class Houses(NamedTuple):
    """Standardised features and log prices; `dollars` maps a standardised log price back."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    dollars: Callable[[np.ndarray], np.ndarray]


def load(train: int, test: int, seed: int) -> Houses:
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    table[:, 3:] = np.log(table[:, 3:])  # counts, incomes and prices spread over decades
    rows = np.random.default_rng(seed).permutation(len(table))
    rows_train, rows_test = rows[:train], rows[train : train + test]
    mean, std = table[rows_train].mean(axis=0), table[rows_train].std(axis=0)
    x, y = np.hsplit((table - mean) / std, [FEATURES])
    return Houses(
        *(x[rows_train], y[rows_train, 0]),
        *(x[rows_test], y[rows_test, 0]),
        dollars=lambda y: np.exp(mean[-1] + std[-1] * y),
    )


def _shapes(depth: int) -> list[tuple[int, ...]]:
    first = [(WIDTH, FEATURES), (WIDTH,), (WIDTH, FEATURES)]
    return [*first, *[(WIDTH, WIDTH), (WIDTH,)] * (depth - 1), (1, WIDTH), (1,)]


def _network(theta: np.ndarray, depth: int) -> list:
    """Layers over theta: relu(A x + b) + C x, then relu(A x + b) + x, then the affine readout."""
    shapes = _shapes(depth)
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    A, b, C, *rest = (part.reshape(shape) for part, shape in zip(np.split(theta, ends), shapes, strict=True))
    deeper = zip(rest[:-2:2], rest[1:-2:2], strict=True)
    return [
        Residual(fm.ReLU(), A, b, C),
        *(Residual(fm.ReLU(), A, b, "identity") for A, b in deeper),
        Affine(*rest[-2:]),
    ]


def _squared_error(layers: list, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum of squared errors, and its gradient in the order of theta."""
    *hidden, readout = layers
    inputs, active = [x], []
    for layer in hidden:
        x = inputs[-1]
        z = x @ layer.A.T + layer.b
        inputs.append(np.maximum(z, 0) + (x if isinstance(layer.C, str) else x @ layer.C.T))
        active.append(z > 0)
    error = (inputs[-1] @ readout.weight.T + readout.bias)[:, 0] - y
    back = 2 * error[:, None]
    gradients = [back.T @ inputs[-1], back.sum(axis=0)]
    back = back @ readout.weight
    for layer, x, on in zip(hidden[::-1], inputs[-2::-1], active[::-1], strict=True):
        back_z = back * on
        if isinstance(layer.C, str):
            gradients = [back_z.T @ x, back_z.sum(axis=0), *gradients]
            back = back + back_z @ layer.A
        else:  # the first layer: nothing before it to pass anything back to
            gradients = [back_z.T @ x, back_z.sum(axis=0), back.T @ x, *gradients]
    return float(error @ error), np.concatenate([gradient.ravel() for gradient in gradients])


def train(x: np.ndarray, y: np.ndarray, depth: int, iterations: int, seed: int) -> list:
    """Fit a network of `depth` hidden layers; returns it as layers for fastmoments.compare."""
    rng = np.random.default_rng(seed)
    start = np.concatenate([rng.normal(0, shape[-1] ** -0.5, shape).ravel() for shape in _shapes(depth)])
    blocks = [(x[i : i + 1024], y[i : i + 1024]) for i in range(0, len(x), 1024)]  # these stay in cache

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        layers = _network(theta, depth)
        values, gradients = zip(*(_squared_error(layers, *block) for block in blocks), strict=True)
        value = sum(values) / len(x) + DECAY * theta @ theta
        return value, np.sum(gradients, axis=0) / len(x) + 2 * DECAY * theta

    with tqdm(total=iterations, desc=f"Training {FEATURES}{f'-{WIDTH}' * depth}-1") as bar:

        def report(intermediate_result: OptimizeResult) -> None:
            bar.set_postfix(loss=f"{intermediate_result.fun:.4f}", refresh=False)
            bar.update()

        options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20}
        fit = minimize(loss, start, jac=True, method="L-BFGS-B", callback=report, options=options)
    return _network(fit.x, depth)
