"""Second derivatives and forward mode of matrices in panels of rows: their numbers, and the memory they take."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import fastmoments as fm
from fastmoments.frameworks import torch_panels

MATRICES = 12  # of the size of cov
PANEL = 6  # pairs: of 3 neurons and two matrices a row each, of one matrix two rows


class Allocations(TorchDispatchMode):
    """Counts the new tensors of some size or more, and how many are alive at a time."""

    def __init__(self, size):
        super().__init__()
        self.size, self.alive, self.most, self.count = size, 0, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        for x in found if isinstance(found, tuple | list) else (found,):
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in given:
                self.new(x.untyped_storage(), x.element_size())
        return found

    def new(self, storage, element_size):
        """Count a storage until it is freed."""
        if storage.nbytes() >= self.size * element_size:
            self.count, self.alive = self.count + 1, self.alive + 1
            self.most = max(self.most, self.alive)
            weakref.finalize(storage, self.freed)

    def freed(self):
        self.alive -= 1


def leaves(batch, n, parameters):
    """A mean, a square root of a covariance, and parameters."""
    random = torch.Generator().manual_seed(n)
    draw = lambda *shape: torch.randn(*batch, *shape, generator=random, dtype=torch.float64)  # noqa: E731
    given = draw(n), draw(n, n), *(0.5 + 0.1 * draw(n) for _ in range(parameters))
    return [x.requires_grad_() for x in given]


@pytest.mark.parametrize("activation, parameters, batch", [(fm.ReLU, 0, (2,)), (fm.NPN, 4, ())])
def test_derivatives_are_those_of_differences(activation, parameters, batch, monkeypatch):
    monkeypatch.setattr(torch_panels, "ELEMENTS", PANEL)
    mu, root, *own = leaves(batch, 3, parameters)

    def moments(mu, root, *own):
        return tuple(fm.moments(activation(*own), mu, root @ root.mT + torch.eye(3, dtype=mu.dtype)))

    assert torch.autograd.gradgradcheck(moments, (mu, root, *own), fast_mode=True)
    assert torch.autograd.gradcheck(moments, (mu, root, *own), check_forward_ad=True, fast_mode=True)


@pytest.mark.parametrize("kind", ["double backward", "forward mode of the vjp", "forward mode"])
def test_memory_is_that_of_a_panel(kind, monkeypatch):
    """Of the size of cov there are results and some sums, however many arrays the formula needs."""
    n = 20
    monkeypatch.setattr(torch_panels, "ELEMENTS", n * n // 2)
    monkeypatch.setattr("fastmoments_kernels.eager.on_torch.LAUNCH_BOUND", 1)
    mu, root, *own = (x.detach() for x in leaves((), n, 2))
    cov = root @ root.mT / n
    inputs = mu, cov, torch.ones_like(mu), torch.ones_like(cov), *own
    calls = {
        "double backward": lambda: torch_panels.pull_vjp("sin", inputs, mu, cov, tuple(own)),
        "forward mode of the vjp": lambda: torch_panels.push_vjp("sin", inputs, inputs),
        "forward mode": lambda: torch_panels.push_moments("sin", (mu, cov, *own), (mu, cov, *own)),
    }
    with Allocations(n * n) as of_matrices, Allocations(n * n // 2) as of_panels:
        calls[kind]()
    assert of_matrices.count <= MATRICES
    assert of_panels.count > 10 * MATRICES
