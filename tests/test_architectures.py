"""Networks as people write them, whole: means and covariances of all their outputs jointly, against samples."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastmoments as fm  # noqa: E402
from tests import architectures  # noqa: E402
from tests.sampled_moments import OF_COV, OF_MEAN, excess, gaussian, sampled  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = architectures.cases()
# in float32 a mean has an error of some rounding errors of 6e-8, and a standard deviation of 1 / 100 of it
OF_MEAN_32 = 1e-3


def leaves(value):
    """The tensors of a tensor, a tuple or a dictionary, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [leaf for one in (value.values() if isinstance(value, dict) else value) for leaf in leaves(one)]


def flat(value):
    """All outputs side by side, (batch, m)."""
    return torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves(value)], 1)


def arguments(case, x):
    """The arguments (batch, ...) of which x (batch, n) are the elements."""
    sizes = [int(np.prod(shape)) for shape in case.shapes]
    parts = torch.split(x, sizes, dim=1)
    return tuple(part.reshape(len(x), *shape) for part, shape in zip(parts, case.shapes, strict=True))


def distribution(case):
    return gaussian(sum(int(np.prod(shape)) for shape in case.shapes), case.sd)


def truth_of(case, more=1, seed=1, given=None):
    """Moments of the network by samples and by the network alone, for its distribution or a given (mu, cov)."""

    def points(x):
        with torch.no_grad():
            return flat(case.model(*arguments(case, torch.from_numpy(x)))).numpy()

    mu, cov = given or distribution(case)
    # what is not linear has noise of its own, behind which errors hide
    count = more * (2**13 if case.sd < 0.1 else 2**16)
    return sampled(points, mu, cov, count, seed)


def propagated(case, model, dtype=torch.float64):
    """Return the package's moments, (m,) and (m, m)."""
    mu, cov = (torch.from_numpy(x).to(dtype) for x in distribution(case))
    before, given = (mu.clone(), cov.clone()), arguments(case, mu[None])
    mean, full = fm.nn.propagate(model, given[0] if len(given) == 1 else given, cov[None])
    assert torch.equal(mu, before[0]) and torch.equal(cov, before[1])
    return flat(mean)[0].double().numpy(), full[0].double().numpy()


@pytest.mark.parametrize("more", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_moments_are_those_of_samples(name, more):
    case = CASES[name]
    found, truth = propagated(case, case.model), truth_of(case, more)
    assert excess(*found, truth, OF_MEAN, OF_COV, len(CASES)) <= 1.0


@pytest.mark.parametrize("name", ["surrogate", "siblings", "embedder", "elman", "cifar resnet", "unet nearest"])
def test_float32(name):
    case = CASES[name]
    found, truth = propagated(case, architectures.cases()[name].model.float(), torch.float32), truth_of(case)
    assert excess(*found, truth, OF_MEAN_32, OF_COV, len(CASES)) <= 1.0
