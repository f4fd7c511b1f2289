"""Breast-cancer diagnosis with missing measurements: a Gaussian of what they may be goes through a network.

    python examples/missing_features.py           half a minute
    python examples/missing_features.py --fast    seconds

A network is trained on complete data. At test time some measurements are missing; given the others they are
Gaussian (conditioned on what the training data say). The usual way puts in the expected values, and is too sure of
itself.
"""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

import fastmoments as fm

SHARES = (0.0, 0.3, 0.6, 0.9)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised measurements and diagnoses, shuffled."""
    x, y = load_breast_cancer(return_X_y=True)
    order = torch.randperm(len(x))
    x = torch.from_numpy(x)[order]
    return (x - x.mean(0)) / x.std(0), torch.from_numpy(y)[order]


def train(x: torch.Tensor, y: torch.Tensor, steps: int) -> nn.Module:
    """A network with two hidden layers, its weights decayed."""
    model = nn.Sequential(nn.Linear(30, 32), nn.GELU(), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 2)).double()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def given(x: torch.Tensor, seen: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor) -> fm.Moments:
    """Condition all thirty measurements on those that were seen."""
    index = torch.nonzero(seen)[:, 0]
    return fm.nn.condition(mean, cov, index, x[index])


def main() -> None:
    """Print accuracy and log loss for shares of missing measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="fewer patients and training steps")
    fast = parser.parse_args().fast
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the matrices are small
    x, y = data()
    (x, x_test), (y, y_test) = x.split([400, 169]), y.split([400, 169])
    model = train(x, y, 100 if fast else 400)
    count = 40 if fast else 169
    mean, cov = x.mean(0), torch.cov(x.T) + 1e-6 * torch.eye(30)
    print("missing   accuracy            log loss (nats)")
    print("          filled in  moments  filled in  moments")
    for share in SHARES:
        likely = {"filled in": [], "moments": []}
        for row in x_test[:count]:
            about = given(row, torch.rand(30) >= share, mean, cov)
            filled = torch.softmax(model(about.mean), -1)
            carried = fm.nn.propagate(model, *about)
            likely["filled in"].append(filled)
            likely["moments"].append(fm.nn.class_probabilities(*carried))
        scores = [score(torch.stack(found), y_test[:count]) for found in likely.values()]
        accuracies, losses = zip(*scores, strict=True)
        print(f"{share:7.0%}   {accuracies[0]:9.1%}  {accuracies[1]:7.1%}  {losses[0]:9.3f}  {losses[1]:7.3f}")


def score(probabilities: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Accuracy and log loss."""
    right = (probabilities.argmax(-1) == y).double().mean().item()
    return right, nn.functional.nll_loss(torch.log(probabilities), y).item()


if __name__ == "__main__":
    main()
