"""How elementwise kernels read arguments, on a card or interpreted; test_gpu.py runs this in another process."""

import math

import pytest
import torch

from fastmoments_kernels import gpu
from fastmoments_kernels.gpu import strided
from tests.card import DEVICE

EPS = torch.finfo(torch.float64).eps
BATCH, N = 2, 5

# name: two shapes that broadcast, and by how many dimensions a kernel reads them; it copies what needs more than 3
CASES = {
    "scalars": ((), (), 1),
    "one shape": ((3, N), (3, N), 1),
    "scalar": ((3, N), (), 1),
    "row": ((3, N), (N,), 2),
    "column": ((3, N), (3, 1), 2),
    "pairs": ((N, 1), (1, 4), 2),
    "one of a batch": ((BATCH, 3, N), (3, N), 2),
    "pairs of a batch": ((BATCH, N, 1), (BATCH, 1, 4), 3),
    "alternating": ((2, 1, 3, 1), (1, 4, 1, 5), 4),
}


def numbers(*shape):
    """Different numbers between .25 and 1."""
    return torch.linspace(0.25, 1.0, math.prod(shape), dtype=torch.float64, device=DEVICE).reshape(shape)


def relu_mean(mu, var):
    """mu Phi(mu / sd) + sd phi(mu / sd), which has no cancellation where mu is positive."""
    sd = var.sqrt()
    density = torch.exp(-0.5 * mu * mu / var) / math.sqrt(2 * math.pi)
    return mu * torch.special.ndtr(mu / sd) + sd * density


@pytest.mark.parametrize("name", CASES)
def test_arguments_that_broadcast(name):
    *shapes, dimensions = CASES[name]
    mu, var = (numbers(*shape) for shape in shapes)
    got, want = gpu.elementwise("relu", "mean")(mu, var), relu_mean(mu, var)
    assert got.shape == want.shape and got.is_contiguous()
    assert ((got - want).abs() <= 8 * EPS * want).all()
    arguments, sizes, strides = strided.read((mu, var))
    copied = [x.data_ptr() != y.data_ptr() for x, y in zip(arguments, (mu, var), strict=True)]
    assert copied == [dimensions > strided.MOST] * 2
    assert len(sizes) + 1 == (1 if all(copied) else dimensions) and len(strides) == 2 * (len(sizes) + 1)


def test_slices_and_transposes_are_read_where_they_are():
    base = numbers(7, 9)
    for view in (base[:, ::2], base.mT, base[1:, 2:], base.flatten()[1:], base[:, :1].expand(7, 3)):
        (read, other), *_ = strided.read((view, view.contiguous()))
        assert read.data_ptr() == view.data_ptr() and other.is_contiguous()
        got = gpu.elementwise("relu", "mean")(view, numbers())
        assert torch.equal(got, gpu.elementwise("relu", "mean")(view.contiguous(), numbers()))


def test_no_elements():
    assert gpu.elementwise("relu", "mean")(numbers(0, N), numbers(N)).shape == (0, N)


@pytest.mark.parametrize("kind", ("cov", "cov_partials", "cov_dparameters"))
def test_every_argument_is_read_by_its_own_strides(kind):
    """A grid of all pairs of a batch: rows, columns, full matrices and numbers in one call."""
    row, column = numbers(BATCH, N, 1), numbers(BATCH, 1, N)
    cov = 0.1 * numbers(BATCH, N, N)
    of_npn = (numbers(), row, column, numbers(N), row.flip(1), column.flip(2), numbers(N, 1), cov)
    arguments = (row - 0.5, column, row, column, cov, *of_npn)
    function = gpu.elementwise("npn", kind)
    found, copied = (
        function(*given) for given in (arguments, [x.contiguous() for x in torch.broadcast_tensors(*arguments)])
    )
    found, copied = (x if isinstance(x, tuple) else (x,) for x in (found, copied))
    assert len({x.untyped_storage().data_ptr() for x in found}) == len(found)
    for got, want in zip(found, copied, strict=True):
        assert got.shape == (BATCH, N, N) and torch.equal(got, want) and got.isfinite().all()


def test_of_the_normal_distribution():
    h, k = numbers(N, 1) - 0.5, numbers(3)
    got = gpu.normal("bivariate_normal_cdf")(h, k, numbers() * 0.0)
    want = torch.special.ndtr(h) * torch.special.ndtr(k)
    assert ((got - want).abs() <= 8 * EPS * want).all()
