"""A Kalman filter whose transition is a neural network: a pendulum, read once in a while and with noise.

    python examples/kalman_filter.py           half a minute
    python examples/kalman_filter.py --fast    seconds

The network has learned x' = x + g(x) from noisy steps. A prediction is the mean and covariance of that for a
Gaussian x: exact through the residual layer with fastmoments, by the derivative at the mean in the extended Kalman
filter, by four points in the unscented one.
"""

import argparse
import math

import torch
from torch import nn

import fastmoments as fm

STEP, PROCESS, READING = 0.2, 0.02, 0.5  # seconds; standard deviations of a step's noise and of a reading
EVERY = 12  # steps between readings of the angle


class Transition(nn.Module):
    """One step of angle and angular velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.change = nn.Sequential(nn.Linear(2, 64), fm.nn.Activation(fm.Sin()), nn.Linear(64, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The next state."""
        return x + self.change(x)


def pendulum(x: torch.Tensor) -> torch.Tensor:
    """The true step, in ten small ones."""
    angle, velocity = x.unbind(-1)
    for _ in range(10):
        velocity = velocity - 0.1 * STEP * 9.81 * torch.sin(angle)
        angle = angle + 0.1 * STEP * velocity
    return torch.stack([angle, velocity], -1)


def train(steps: int) -> Transition:
    """Learn the step from states of every energy."""
    model = Transition().double()
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    x = torch.randn(2000, 2, dtype=torch.float64) * torch.tensor([2.0, 5.0])
    y = pendulum(x) + PROCESS * torch.randn_like(x)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def by_moments(model: nn.Module, mean: torch.Tensor, cov: torch.Tensor) -> fm.Moments:
    """The prediction with fastmoments."""
    return fm.nn.propagate(model, mean, cov)


def by_derivative(model: nn.Module, mean: torch.Tensor, cov: torch.Tensor) -> fm.Moments:
    """Linearise the model at the mean, as the extended Kalman filter does."""
    slope = torch.func.jacrev(model)(mean)
    return fm.Moments(model(mean), slope @ cov @ slope.T)


def by_points(model: nn.Module, mean: torch.Tensor, cov: torch.Tensor) -> fm.Moments:
    """Run the model at 2 n points, as the unscented filter of filterpy and others does (Julier & Uhlmann 1997)."""
    root = torch.linalg.cholesky(len(mean) * cov).mT
    points = model(torch.cat([mean + root, mean - root]))
    centred = points - points.mean(0)
    return fm.Moments(points.mean(0), centred.mT @ centred / len(points))


def log_density(x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor) -> float:
    """Return the log density of the true state x under the filter's Gaussian."""
    return torch.distributions.MultivariateNormal(mean, cov).log_prob(x).item()


def run(model: nn.Module, predict, seed: int, steps: int) -> tuple[float, float]:
    """Root mean square error of the angle and mean log density along one trajectory."""
    torch.manual_seed(seed)
    truth = torch.tensor([1.5, 0.0], dtype=torch.float64) + 0.5 * torch.randn(2, dtype=torch.float64)
    mean, cov = torch.tensor([1.5, 0.0], dtype=torch.float64), 0.25 * torch.eye(2, dtype=torch.float64)
    squares, densities = [], []
    for step in range(1, steps + 1):
        truth = pendulum(truth) + PROCESS * torch.randn(2, dtype=torch.float64)
        mean, cov = predict(model, mean, cov)
        cov = cov + PROCESS**2 * torch.eye(2, dtype=torch.float64)
        if step % EVERY == 0:
            reading = truth[:1] + READING * torch.randn(1, dtype=torch.float64)
            mean, cov = fm.nn.condition(mean, cov, [0], reading, READING**2 * torch.eye(1, dtype=torch.float64))
        squares.append((truth[0] - mean[0]).item() ** 2)
        densities.append(log_density(truth, mean, cov))
    return math.sqrt(sum(squares) / steps), sum(densities) / steps


def main() -> None:
    """Print the errors of both filters over some trajectories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="fewer training steps and trajectories")
    fast = parser.parse_args().fast
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the matrices are small
    model, seeds, steps = train(200 if fast else 1500), range(3 if fast else 20), 48 if fast else 120
    print("prediction        error of the angle, rad    log density of the truth, nats")
    predictions = (("moments", by_moments), ("derivative (EKF)", by_derivative), ("points (UKF)", by_points))
    for name, predict in predictions:
        errors, densities = zip(*(run(model, predict, seed, steps) for seed in seeds), strict=True)
        print(f"{name:18}{sum(errors) / len(seeds):22.3f}    {sum(densities) / len(seeds):27.2f}")


if __name__ == "__main__":
    main()
