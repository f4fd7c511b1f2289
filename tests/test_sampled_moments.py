"""The judge of whole networks: right moments pass, those of a network with one thing changed do not."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests import architectures  # noqa: E402
from tests.architectures.case import Case  # noqa: E402
from tests.architectures.run import distribution, truth_of  # noqa: E402
from tests.sampled_moments import OF_COV, OF_MEAN, excess  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = architectures.cases()


def judged(mean, cov, truth):
    return excess(mean, cov, truth, OF_MEAN, OF_COV, len(CASES))


@pytest.mark.parametrize("name", ["surrogate", "siblings", "views", "cifar resnet", "own input", "embedder"])
def test_other_samples_are_right(name):
    other, truth = truth_of(CASES[name], seed=2), truth_of(CASES[name])
    assert judged(other.mean, other.cov, truth) <= 1.0


def test_a_skip_without_its_covariance_with_the_branch_is_wrong():
    """With x and y independent every variance is right, but the covariance of skip and branch is 0."""

    class Detached(nn.Module):
        def forward(self, x, y):
            x = x + case.model.blocks[0](y)
            for block in case.model.blocks[1:]:
                x = x + block(x)
            return x

    case = CASES["stochastic depth"]
    (mu, cov), truth = distribution(case), truth_of(case)
    given = np.tile(mu, 2), np.kron(np.eye(2), cov)
    detached = truth_of(Case(Detached(), case.shapes * 2, case.sd), given=given)
    assert judged(truth.mean, detached.cov, truth) > 30.0


def transpose(weight):
    weight.copy_(weight.mT.clone())


def copy_the_alias(model):
    def forward(x):
        h = model.one(x)
        skip = h.clone()
        h = ((h + x) * 1.5 - model.two(x)) / 0.7
        return torch.relu(h) + skip

    model.forward = forward


def keep_the_order_of_channels(model):
    block = model.block

    def forward(x):
        x1, x2 = nn.functional.avg_pool2d(block.stem(x), kernel_size=3, stride=2, padding=1).chunk(2, dim=1)
        return torch.cat((x1, block.branch2(x2)), dim=1)

    block.forward = forward


CHANGES = {
    "a weight is transposed": ("elman", lambda model: transpose(model.h2h.weight)),
    "a product comes from the other side": ("graph convolution", lambda model: transpose(model.adjacency)),
    "an alias is taken for a copy": ("in place", copy_the_alias),
    "a hook does not run": ("parametrised linears", lambda model: model.three._forward_pre_hooks.clear()),
    "channels are not shuffled": ("shufflenet", keep_the_order_of_channels),
    "the future is read": ("tcn", lambda model: setattr(model.network[1].net[1], "forward", lambda x: x[:, :, 2:])),
    "a mask is inverted": ("masks", lambda model: model.mask.logical_not_()),
    "sizes are aligned otherwise": ("unet bilinear", lambda model: setattr(model.up, "align_corners", False)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_network_is_wrong(change):
    name, apply = CHANGES[change]
    changed = architectures.cases()[name]
    with torch.no_grad():
        apply(changed.model)
    wrong, truth = truth_of(changed), truth_of(CASES[name])
    assert judged(wrong.mean, truth.cov, truth) > 3.0 and judged(truth.mean, wrong.cov, truth) > 3.0


@pytest.mark.parametrize("name", ["actor critic", "vae encoder"])
def test_outputs_taken_for_uncorrelated_are_wrong(name):
    truth = truth_of(CASES[name])
    wrong = truth.cov.copy()
    wrong[:2, 2:] = wrong[2:, :2] = 0.0
    assert judged(truth.mean, wrong, truth) > 3.0


@pytest.mark.parametrize("name", ["surrogate", "mixer", "lenet", "policy"])
def test_the_network_at_the_mean_is_not_its_mean(name):
    """E f(X) - f(mu) is of the order of the variance, 1e-4; it shows all the same."""
    case = CASES[name]
    truth = truth_of(case)
    at_mean = truth_of(case, given=(distribution(case)[0], 1e-18 * distribution(case)[1])).mean
    assert judged(at_mean, truth.cov, truth) > 3.0


def test_equal_activations_taken_for_two_are_wrong():
    """Var(relu(x) + relu(x)) by a later layer's closure, E relu' for the covariance, is 13 % too small."""
    truth = truth_of(CASES["siblings"])
    wrong = truth.cov.copy()
    wrong[8:13, 8:13] *= 1.1817 / 1.3634
    assert judged(truth.mean, wrong, truth) > 1.5
