"""What a case's network makes of its Gaussian input: by samples, and by the package."""

from copy import deepcopy

import numpy as np
import torch

import fastmoments as fm
from tests.sampled_moments import gaussian, sampled


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
    """Mean and covariance of the elements of all arguments."""
    return gaussian(sum(int(np.prod(shape)) for shape in case.shapes), case.sd)


def samples_for(case):
    """What is not linear has noise of its own, behind which errors hide."""
    return 2**13 if case.sd < 0.1 else 2**16


def truth_of(case, count=None, seed=1, given=None):
    """Moments of the network by 2 count samples and by the network alone, for its distribution or a given one."""

    def points(x, model=case.model):
        with torch.no_grad():
            return flat(model(*arguments(case, torch.from_numpy(x)))).numpy()

    mu, cov = given or distribution(case)
    # a network that draws masks has no Jacobian by differences
    draws = any(module.training for module in case.model.modules())
    quiet = deepcopy(case.model).eval() if draws else case.model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return sampled(points, mu, cov, count or samples_for(case), seed, lambda x: points(x, quiet))


def propagated(case, dtype=torch.float64):
    """Return the package's moments, (m,) and (m, m)."""
    mu, cov = (torch.from_numpy(x).to(dtype) for x in distribution(case))
    before, given = (mu.clone(), cov.clone()), arguments(case, mu[None])
    mean, full = fm.nn.propagate(case.model, given[0] if len(given) == 1 else given, cov[None])
    assert torch.equal(mu, before[0]) and torch.equal(cov, before[1])
    return flat(mean)[0].double().numpy(), full[0].double().numpy()
