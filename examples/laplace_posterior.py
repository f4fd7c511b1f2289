"""The predictive mean and variance of a Laplace approximation in one pass, beside samples of its weights.

    python examples/laplace_posterior.py           needs laplace-torch: pip install laplace-torch
    python examples/laplace_posterior.py --fast    with fewer samples

laplace-torch fits a Gaussian to the weights of a trained network. With a diagonal Hessian these are independent,
as the weights of `fm.nn.BayesLinear` are: `fm.propagate` carries them without samples and without linearising the
network. For one hidden layer its mean and variance are exact.
"""

import argparse
import math

import torch
from torch import nn

import fastmoments as fm

POINTS = torch.linspace(-4.0, 4.0, 9, dtype=torch.float64)[:, None]


def with_posterior(model: nn.Sequential, mean: torch.Tensor, variance: torch.Tensor) -> nn.Sequential:
    """Return the model with Gaussian weights, given as `torch.nn.utils.parameters_to_vector` orders them."""
    layers, at = [], 0
    for layer in model:
        if isinstance(layer, nn.Linear):
            own = fm.nn.BayesLinear(layer.in_features, layer.out_features, bias=layer.bias is not None).to(mean)
            for name, parameter in layer.named_parameters():
                here = slice(at, at + parameter.numel())
                sd = variance[here].reshape(parameter.shape).sqrt()
                getattr(own, f"{name}_mean").data = mean[here].reshape(parameter.shape)
                # a sd is softplus(rho)
                getattr(own, f"{name}_rho").data = sd + torch.log(-torch.expm1(-sd))
                at = here.stop
            layer = own
        elif any(True for _ in layer.parameters()):
            raise TypeError(f"{type(layer).__name__}: only the weights of nn.Linear become Gaussian here")
        layers.append(layer)
    if at != len(mean):
        raise ValueError(f"mean: expected {at} weights, those of the model, got {len(mean)}")
    return nn.Sequential(*layers).eval().requires_grad_(False)


def predicted(model: nn.Sequential, x: torch.Tensor) -> fm.Marginals:
    """Mean and variance of the outputs for certain inputs x (rows, features)."""
    return fm.propagate(model, x, torch.zeros_like(x), covariance="diagonal")


def sampled(model: nn.Sequential, weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the outputs (samples, rows, outputs) for samples of the weights (samples, count)."""
    names = [(name, p.shape) for name, p in model.named_parameters()]

    def one(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split([math.prod(shape) for _, shape in names])
        own = {name: part.reshape(shape) for (name, shape), part in zip(names, parts, strict=True)}
        return torch.func.functional_call(model, own, (x,))

    return torch.vmap(one, chunk_size=1024)(weights)


def trained(steps: int = 500) -> tuple[nn.Sequential, torch.utils.data.DataLoader]:
    """A network fitted to a noisy sine, and its data."""
    torch.manual_seed(0)
    x = 4.0 * torch.rand(100, 1, dtype=torch.float64) - 2.0
    y = torch.sin(2.0 * x) + 0.1 * torch.randn_like(x)
    model = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1)).double()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimiser.step()
    return model, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=100)


def fitted(model: nn.Sequential, data: torch.utils.data.DataLoader):
    """The diagonal Laplace approximation of all weights."""
    from laplace import Laplace

    found = Laplace(model, "regression", subset_of_weights="all", hessian_structure="diag", sigma_noise=0.1)
    found.fit(data)
    return found


def main() -> None:
    """Print mean and sd of the prediction in one pass and by samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="fewer samples")
    count = 1000 if parser.parse_args().fast else 20000
    model, data = trained()
    posterior = fitted(model, data)
    mean, var = predicted(with_posterior(model, posterior.mean, posterior.posterior_variance), POINTS)
    samples = sampled(model, posterior.sample(count), POINTS)
    print(f"     x    one pass: mean, sd    {count} samples: mean, sd")
    for row in zip(POINTS, mean, var.sqrt(), samples.mean(0), samples.std(0), strict=True):
        print(" ".join(f"{x.item():10.4f}" for x in row))


if __name__ == "__main__":
    main()
