"""Networks that draw masks of their own: dropout that stays on, everything else in eval mode."""

from torch import nn

from tests.architectures.case import case, noisy


def mc_head():
    """Dropout before the last layer only: exact, for what follows is linear."""
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 2)
    )


def mc_channels():
    """Whole channels of an image are left out: exact too."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.SiLU(), nn.Dropout2d(0.2), nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(2, 2)
    )


def mc_dropout():
    """Dropout behind every layer: the masks' noise is large, and goes through activations, at any input."""
    layers = []
    for n, m in ((4, 8), (8, 8)):
        layers += [nn.Linear(n, m), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(8, 2))


def cases():
    return {
        "mc head": noisy(case(mc_head, (4,))),
        "mc channels": noisy(case(mc_channels, (1, 3, 3))),
        "mc dropout": noisy(case(mc_dropout, (4,))),
    }
