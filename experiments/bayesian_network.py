"""A variational Bayesian network in one pass, beside DVI's approximation of ReLU and sampled weights."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import fastmoments as fm
from experiments import dvi
from experiments.figures import COLORS, panels
from experiments.tables import factor, scientific, table

WIDTH = 32
NOISE = 0.1  # the standard deviation of the data's noise
ACTIVATIONS: dict[str, Any] = {"relu": torch.nn.ReLU(), "probit": fm.nn.Activation(fm.Probit())}
RELU = (("relu", 1, 0.1), ("relu", 2, 0.0), ("relu", 2, 0.1))
PROBIT = (("probit", 2, 0.0), ("probit", 2, 0.1))
SHOWN = (RELU[0], RELU[2])
REPLICATES = 16
CORRELATIONS = (0.9, 0.99, 0.9999)
FULL = {"networks": [*RELU, *PROBIT], "steps": 600, "points": 41, "samples": 2**20}
FAST = {"networks": [*RELU], "steps": 10, "points": 5, "samples": 2**10}
Layer = tuple[Any, Any, Any, Any]
Step = Callable[[Any, Any], fm.Moments]
Case = Sequence[Any]  # activation, hidden layers, variance of the input


@cache
def trained(activation: str, depth: int, steps: int) -> list[Layer]:
    """Weights' means and variances, biases' means and variances, of a network trained on the evidence bound."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x = torch.rand(128, 1, dtype=torch.float64) * 4 - 2
    y = torch.sin(2 * x) + NOISE * torch.randn_like(x)
    linear, f = fm.nn.BayesLinear, ACTIVATIONS[activation]
    hidden = [module for i in range(depth) for module in (linear(WIDTH if i else 1, WIDTH), f)]
    model = torch.nn.Sequential(*hidden, linear(WIDTH, 1)).double()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in tqdm(range(steps), desc=f"Training {activation}", leave=False):
        optimiser.zero_grad()
        mean, var = fm.nn.propagate(model, x, torch.zeros_like(x), covariance="diagonal")
        expected = 0.5 * (((y - mean) ** 2 + var) / NOISE**2).sum()
        (expected + fm.nn.kl_divergence(model)).backward()
        optimiser.step()
    layers = (module.distribution() for module in model if isinstance(module, linear))
    return [tuple(part.detach().numpy() for part in layer) for layer in layers]


def diagonal(activation: str, mu: Any, cov: Any) -> fm.Moments:
    """A covariance with zeros off the diagonal, as for independent neurons."""
    mean, var = fm.marginals(activation, mu, np.diagonal(cov, axis1=-2, axis2=-1))
    return fm.Moments(mean, var[..., None] * np.eye(var.shape[-1]))


def methods(activation: str) -> dict[str, Step]:
    found = {"fastmoments": partial(fm.moments, activation), "mean-field": partial(diagonal, activation)}
    return found | ({"DVI": dvi.relu_moments} if activation == "relu" else {})


def carry(layers: list[Layer], step: Step, mu: Any, cov: Any) -> fm.Moments:
    """Carry moments through the layers of weights and the activations between them."""
    for layer in layers[:-1]:
        mu, cov = step(*fm.bayes_linear_moments(mu, cov, *layer))
    return fm.bayes_linear_moments(mu, cov, *layers[-1])


def sample(layers: list[Layer], activation: str, x: Any, generator: torch.Generator) -> Any:
    """Outputs for inputs (rows, 1), each with weights of its own.

    Given a layer's input, W x + b are independent Gaussians: they are drawn instead of the weights, with the same
    distribution of outputs.
    """
    for index, layer in enumerate(layers):
        mean, var, bias_mean, bias_var = (torch.from_numpy(part).float() for part in layer)
        centre, spread = x @ mean.T + bias_mean, (x * x) @ var.T + bias_var
        x = centre + spread.sqrt() * torch.randn(centre.shape, generator=generator)
        if index < len(layers) - 1:
            x = torch.relu(x) if activation == "relu" else torch.special.ndtr(x)
    return x[:, 0].double()


def reference(
    layers: list[Layer], activation: str, mu: float, var: float, samples: int
) -> tuple[fm.Moments, float]:
    """Sampled moments, and the divergence that their own error causes."""
    generator = torch.Generator().manual_seed(0)
    x = mu + var**0.5 * torch.randn((REPLICATES, samples // REPLICATES, 1), generator=generator)
    y = torch.stack([sample(layers, activation, part, generator) for part in x])
    found = [gaussian(*part) for part in zip(y.mean(1), y.var(1), strict=True)]
    pooled = gaussian(y.mean(), y.var())
    return pooled, float(np.mean([fm.compare.kl_divergence(part, pooled) for part in found]) / (REPLICATES - 1))


def gaussian(mean: Any, var: Any) -> fm.Moments:
    return fm.Moments(np.array([float(mean)]), np.array([[float(var)]]))


def predict(activation: str, depth: int, var: float, size: dict[str, Any]) -> dict[str, Any]:
    """Means, standard deviations and divergences along a line of inputs N(x, var)."""
    layers = trained(activation, depth, size["steps"])
    points = np.linspace(-3, 3, size["points"])
    mu, cov = points[:, None], np.full((len(points), 1, 1), var)
    carried = {name: carry(layers, step, mu, cov) for name, step in methods(activation).items()}
    sampled = [reference(layers, activation, x, var, size["samples"]) for x in points]
    truth = fm.Moments(*(np.stack(part) for part in zip(*(moments for moments, _ in sampled), strict=True)))
    curves = {name: curve(moments) for name, moments in (carried | {"Monte Carlo": truth}).items()}
    divergence = {name: list(fm.compare.kl_divergence(truth, moments)) for name, moments in carried.items()}
    divergence["sampling's own"] = [own for _, own in sampled]
    found = {"x": list(points), "curves": curves, "divergence": divergence}
    if "DVI" in carried:
        found["formula"] = list(fm.compare.kl_divergence(carried["fastmoments"], carried["DVI"]))
    return found


def curve(moments: fm.Moments) -> dict[str, Any]:
    return {"mean": list(moments.mean[:, 0]), "sd": list(np.sqrt(moments.cov[:, 0, 0]))}


def formula_errors() -> dict[str, float]:
    """Largest error of DVI's covariance over means in [-3, 3] at unit variances."""
    h, k = (grid.ravel() for grid in np.meshgrid(*[np.linspace(-3, 3, 61)] * 2))
    ones, found = np.ones_like(h), {}
    for largest in CORRELATIONS:
        errors = []
        for rho in np.linspace(-largest, largest, 37) if largest == CORRELATIONS[0] else (-largest, largest):
            exact = fm.relu_cov(h, k, ones, ones, np.full_like(h, rho))
            errors.append(np.abs(dvi.relu_cov(h, k, rho) - exact).max())
        found[str(largest)] = float(max(errors))
    return found


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {"formula": formula_errors} | {_title(case): partial(predict, *case, size) for case in size["networks"]}


def _title(case: Case) -> str:
    activation, depth, var = case
    return f"{activation}, {depth} hidden, input variance {var:g}"


TEXT = """# A Bayesian network beside sampled weights

<!-- Written by `make experiments`; do not edit but in `experiments/bayesian_network.py`. -->

Networks 1-{width}-1 and 1-{width}-{width}-1 with independent Gaussian weights, trained by variational inference
on 128 noisy values of sin(2 x) between -2 and 2. The prediction at x is a distribution over the weights.
fastmoments carries mean and full covariance through the layers; DVI (Wu et al. 2019) does the same with an
approximation of the ReLU's covariance, implemented here from its published formula; mean-field keeps the
variances alone. Truth: {samples:,} sampled networks for every x. Activations: ReLU, and probit, here Phi(x);
Kuang and Lin's code has 2 Phi(x) - 1, and DVI has no formula for either.

![Prediction bands, and divergences from sampling, along x](../figures/bayesian_network.png)

{table}

KL(sampled || method) of the output's Gaussian in nats: median over {points} inputs between -3 and 3, and the
largest. The last column shows the divergence that the sampling error causes. "Input variance 0.1": x itself is N(x,
0.1), which correlates the first layer's neurons.

The divergence of the others, as the median over x and the smallest and largest factor:

{reading}

Kuang and Lin report a hundredfold lower divergence than DVI's for a network of theirs. Here that holds at
single inputs where one layer's neurons are strongly correlated and nearly all else is exact. In the median over
x, and behind two layers, DVI's approximation is hidden by an error of both methods: a sum of products of Gaussians
is treated as a Gaussian. The gain is in carrying covariances at all.

## DVI's formula alone

| correlation | largest error of the ReLU's covariance |
|---|--:|
{formula}

Unit variances, means between -3 and 3, against `fm.relu_cov`, whose own error is on the [accuracy
page](../accuracy.md). The formula is exact for means of zero and far away from zero.
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    titles = [title for title in results if title != "formula"]
    names = ["fastmoments", "DVI", "mean-field", "sampling's own"]
    rows = [[title, *(_cell(results[title]["divergence"], name) for name in names)] for title in titles]
    errors = results["formula"]
    return TEXT.format(
        samples=size["samples"],
        points=size["points"],
        width=WIDTH,
        table=table(["network", *names], rows),
        reading=reading(results, titles),
        formula="\n".join(
            f"| {'up to ' if rho == '0.9' else '+-'}{rho} | {scientific(error)} |" for rho, error in errors.items()
        ),
    )


def _cell(divergence: dict[str, Any], name: str) -> str:
    if name not in divergence:
        return ""
    return f"{scientific(np.median(divergence[name]))} ({scientific(max(divergence[name]))})"


def reading(results: dict[str, Any], titles: list[str]) -> str:
    """The conclusions from the numbers."""
    lines = []
    for title in titles:
        found = {name: np.array(values) for name, values in results[title]["divergence"].items()}
        others = [name for name in ("DVI", "mean-field") if name in found]
        factors = [f"{name}'s {_factors(found[name] / found['fastmoments'])}" for name in others]
        alone = results[title].get("formula")
        between = f"; from fastmoments to DVI it is {scientific(max(alone))} nats at most" if alone else ""
        lines.append(f"* {title}: {' and '.join(factors)} times fastmoments'{between}.")
    return "\n".join(lines)


def _factors(ratios: Any) -> str:
    return f"{factor(np.median(ratios))} ({factor(ratios.min())} to {factor(ratios.max())})"


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw ReLU with a certain and with an uncertain input: bands and divergences."""
    with panels(path, 4, (16, 4.2), width_ratios=[1.2, 1, 1.2, 1]) as axes:
        for pair, case in zip((axes[:2], axes[2:]), SHOWN, strict=True):
            found = results[_title(case)]
            _bands(pair[0], found)
            pair[0].set_title(_title(case))
            for name, values in found["divergence"].items():
                dotted = {"color": "#999999", "ls": ":"} if name not in COLORS else {"color": COLORS[name]}
                pair[1].plot(found["x"], values, label=name, **dotted)
            pair[1].set(yscale="log", xlabel="x", title="KL from sampling, nats")
            pair[1].set_ylim(top=30 * max(found["divergence"]["mean-field"]))
        axes[0].legend(loc="lower left", fontsize=9)
        axes[1].legend(loc="upper left", fontsize=9, ncols=2)


def _bands(axis: Any, found: dict[str, Any]) -> None:
    for name in ("Monte Carlo", "fastmoments", "mean-field", "DVI"):
        mean, sd = (np.array(found["curves"][name][kind]) for kind in ("mean", "sd"))
        if name == "Monte Carlo":
            axis.fill_between(found["x"], mean - 2 * sd, mean + 2 * sd, color="#dddddd", label="sampled, 2 sd")
            axis.plot(found["x"], mean, color="#777777", lw=1)
            continue
        style = {"color": COLORS[name], "ls": ":" if name == "DVI" else "-", "lw": 2 if name == "DVI" else 1.5}
        axis.plot(found["x"], mean - 2 * sd, label=name, **style)
        axis.plot(found["x"], mean + 2 * sd, **style)
    axis.set(xlabel="x", ylabel="prediction")
