"""Tests of the fused layers, on a card or interpreted; test_gpu.py runs this file in other processes."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import fastmoments as fm
from fastmoments.frameworks import torch_products
from fastmoments_kernels import gpu
from tests.card import DEVICE, as_on_a_card

NPN = {"r": 1.0, "q": 2.0, "tau": 0.7, "center": 0.3}
# less than a tile, one entry, several tiles and a part of one, rows that begin at multiples of 16 elements
SHAPES = [(5, 33, 7), (1, 1, 1), (67, 5, 70), (3, 32, 9)]
dtypes = pytest.mark.parametrize("dtype", ("float64", "float32", "bfloat16"))


def draw(shape, dtype):
    """(mu, var), (weight_mean, weight_var), (bias_mean, bias_var) as tensors, and the same numbers in float64."""
    (rows, depth, columns), rng = shape, np.random.default_rng(shape)
    sizes = [(rows, depth), (columns, depth), (columns,)]
    pairs = [(rng.normal(size=size), rng.uniform(0, 1, size)) for size in sizes]
    tensors = [tuple(torch.as_tensor(x, device=DEVICE).to(getattr(torch, dtype)) for x in pair) for pair in pairs]
    return tensors, [tuple(x.double().cpu().numpy() for x in pair) for pair in tensors]


def by_kernel(activation, tensors, parameters=()):
    (mu, _), (weight, _), _ = tensors
    outputs = tuple(torch.full((len(mu), len(weight)), torch.nan, dtype=mu.dtype, device=DEVICE) for _ in range(2))
    gpu.linear_marginals(activation, *tensors, outputs, parameters)
    return [out.double().cpu().numpy() for out in outputs]


def sums(numbers):
    """Mean and variance of W X + b, and the absolute sums, to which rounding is relative."""
    (mu, var), (weight, spread), (bias, bias_var) = numbers
    mean, out = mu @ weight.T + bias, var @ (weight**2 + spread).T + mu**2 @ spread.T + bias_var
    return (mean, out), (np.abs(mu) @ np.abs(weight).T + np.abs(bias), out)


def rounding(dtype, depth):
    """The error allowed, relative to the absolute sums."""
    if dtype == "bfloat16":
        # squares, their sum with a variance and the result, each rounded or, interpreted, cut
        return 3 * torch.finfo(torch.bfloat16).eps
    # products of n terms, in a chain of two
    return 2 * (depth + 4) * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", SHAPES)
@dtypes
def test_linear_layer_is_its_sums(dtype, shape):
    tensors, numbers = draw(shape, dtype)
    wanted, sizes = sums(numbers)
    for got, want, size in zip(by_kernel(None, tensors), wanted, sizes, strict=True):
        assert np.max(np.abs(got - want) / size) <= rounding(dtype, shape[1])


@dtypes
def test_activation_behind_it(dtype):
    """The marginals of the sums; npn's derivatives by mu and var are below 4, which bounds their errors' factor."""
    tensors, numbers = draw((5, 33, 7), dtype)
    real = torch.float64 if dtype == "float64" else torch.float32
    parameters = tuple(torch.full((7,), value, dtype=real, device=DEVICE) for value in NPN.values())
    found = by_kernel("npn", tensors, parameters)
    (mean, var), sizes = sums(numbers)
    moved = 4 * rounding(dtype, 33) * (sizes[0] + sizes[1])
    for got, want in zip(found, fm.npn_marginals(mean, var, **NPN), strict=True):
        assert np.max(np.abs(got - want) / (moved + 16 * torch.finfo(tensors[0][0].dtype).eps)) <= 1.0


@pytest.mark.parametrize("n", (1, 37))
@pytest.mark.parametrize("dtype", ("float64", "float32"))
def test_skip_adds_in_place(dtype, n):
    rng = np.random.default_rng(n)
    full, skipped = (x + x.mT for x in rng.normal(size=(2, 3, n, n)))
    gains, mixed = rng.normal(size=(3, n)), rng.normal(size=(3, n, n))
    tensors = [torch.as_tensor(x, device=DEVICE).to(getattr(torch, dtype)) for x in (full, gains, mixed, skipped)]
    full, gains, mixed, skipped = (np.array(x.double().cpu()) for x in tensors)
    half = gains[:, :, None] * mixed
    gpu.add_skip(*tensors)
    got = tensors[0].double().cpu().numpy()
    assert np.array_equal(got, got.mT)
    # two products and three sums
    size = np.abs(full) + np.abs(half) + np.abs(half).mT + np.abs(skipped)
    assert np.max(np.abs(got - (full + half + half.mT + skipped)) / size) <= 5 * np.finfo(dtype).eps


# one entry, part of a tile, several tiles and a part of one
@pytest.mark.parametrize("n", (1, 5, 37))
@pytest.mark.parametrize("dtype", ("float64", "float32"))
def test_the_mean_of_both_triangles(dtype, n):
    rng, eps = np.random.default_rng(n), np.finfo(dtype).eps
    matrix = torch.as_tensor(rng.normal(size=(2, n, n)), device=DEVICE).to(getattr(torch, dtype))
    given = matrix.double().cpu().numpy()
    gpu.make_symmetric(matrix)
    got = matrix.double().cpu().numpy()
    assert np.array_equal(got, got.mT)
    assert np.max(np.abs(got - 0.5 * (given + given.mT))) <= 2 * eps * np.abs(given).max()


@pytest.mark.parametrize("dtype", ("float64", "float32"))
def test_rounding_is_taken_out_of_covariances(dtype):
    """Of variances below 0 and correlations beyond 1, what `rounding` explains, matrix by matrix, and no more."""
    real = getattr(torch, dtype)
    one = torch.tensor([[1.0, 2.125, 0.5], [2.125, 4.0, 0.25], [0.5, 0.25, -0.0625]], dtype=real, device=DEVICE)
    bad = torch.tensor([[torch.nan, 1.0, 0.0], [1.0, 1.0, -1.25], [0.0, -1.25, 1.0]], dtype=real, device=DEVICE)
    matrices = torch.stack([one, one, bad])
    gpu.make_symmetric(matrices, torch.tensor([0.125, 0.0625, 0.5], dtype=real, device=DEVICE))
    # its bound is 0 beside the variance below 0, from which .5 and .25 are too far
    mended = torch.tensor([[1.0, 2.0, 0.5], [2.0, 4.0, 0.25], [0.5, 0.25, 0.0]], dtype=real, device=DEVICE)
    assert torch.equal(matrices[0], mended)
    less = one.clone()
    less[2, 2] = 0.0
    assert torch.equal(matrices[1], less)
    bad[1, 2] = bad[2, 1] = -1.0
    assert torch.equal(matrices[2].nan_to_num(9.0), bad.nan_to_num(9.0))


@pytest.fixture
def on_a_card(monkeypatch):
    as_on_a_card(monkeypatch)


def test_tensors_reach_the_linear_kernel(on_a_card, monkeypatch):
    tensors, numbers = draw((6, 5, 7), "float32")
    arguments = [x for pair in tensors for x in pair]
    arguments[:2] = (x.view(2, 3, 5) for x in arguments[:2])
    tau = torch.linspace(0.5, 2.0, 7, device=DEVICE)
    found = fm.bayes_linear_marginals(*arguments, activation=fm.NPN(tau=tau))
    wanted = fm.npn_marginals(*sums(numbers)[0], tau=tau.double().cpu().numpy())
    for got, want in zip(found, wanted, strict=True):
        assert got.shape == (2, 3, 7) and got.dtype == torch.float32
        # the conditioning of test_activation_behind_it, whose sums are below 20
        assert np.abs(got.cpu().numpy().reshape(6, 7) - want).max() <= 4 * rounding("float32", 5) * 20
    # inputs that need gradients take the operations that have them
    monkeypatch.setattr(gpu, "linear_marginals", None)
    arguments[2] = arguments[2].requires_grad_()
    assert fm.bayes_linear_marginals(*arguments).mean.grad_fn is not None


def test_linear_layers_without_inputs_or_rows(on_a_card):
    """Without inputs the results are the biases; without rows there are none."""
    bias = torch.tensor([0.5, -1.0, 0.0], device=DEVICE)
    none = torch.zeros(2, 0, device=DEVICE), torch.zeros(3, 0, device=DEVICE)
    found = fm.bayes_linear_marginals(none[0], none[0], none[1], none[1], bias, bias * bias)
    for got, want in zip(found, (bias, bias * bias), strict=True):
        assert torch.equal(got, want.expand(2, 3))
    mu, weight = torch.zeros(0, 4, device=DEVICE), torch.zeros(3, 4, device=DEVICE)
    assert [x.shape for x in fm.bayes_linear_marginals(mu, mu, weight, weight)] == [(0, 3)] * 2


def test_parameters_of_other_layers_are_named(on_a_card):
    mu, weight = torch.zeros(2, 4, device=DEVICE), torch.zeros(3, 4, device=DEVICE)
    with pytest.raises(ValueError, match=r"tau: expected a number or one per neuron, shape \(3,\), got \(4,\)"):
        fm.bayes_linear_marginals(mu, mu, weight, weight, activation=fm.NPN(tau=torch.ones(4, device=DEVICE)))


class Named(TorchDispatchMode):
    """Records the names of torch's operations."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        found = operation(*arguments, **(keywords or {}))
        self.names.append(operation.name())
        return found


@pytest.mark.parametrize("batch", ((), (2,)))
def test_a_layer_takes_one_product(on_a_card, batch):
    """Covariances of 200 neurons, which the CPU multiplies by panels of 128."""
    n = 200
    generator = torch.Generator(DEVICE).manual_seed(n)
    left = torch.randn(n, 3, generator=generator, dtype=torch.float64, device=DEVICE)
    right = torch.randn(*batch, 3, 3, generator=generator, dtype=torch.float64, device=DEVICE)
    right = (right @ right.mT) @ left.mT
    rounding = torch.full(batch, 1e-9, dtype=torch.float64, device=DEVICE)
    with Named() as called:
        got = torch_products.symmetric_product(left, right, lambda: rounding)
    assert sum(name in ("aten::mm", "aten::bmm") for name in called.names) == 1
    # by a kernel, not by operations on matrices
    assert not {"aten::add.Tensor", "aten::mul.Tensor", "aten::where.self"} & set(called.names)
    want = left @ right
    assert torch.equal(got, got.mT) and ((got - want).abs() <= 1e-13 * want.abs().max()).all()


@pytest.mark.parametrize("skip", [pytest.param("matrix", marks=pytest.mark.slow), "identity"])
def test_residual_layers_reach_the_kernels(on_a_card, skip):
    rng, n = np.random.default_rng(5), 4
    root, A, C = rng.normal(size=(3, n, n))
    mu, cov = rng.normal(size=n), root @ root.T
    C = "identity" if skip == "identity" else C
    tensors = [x if isinstance(x, str) else torch.as_tensor(x, device=DEVICE) for x in (mu, cov, A, C)]
    mean, full = fm.residual_moments("relu", *tensors[:3], C=tensors[3])
    want = fm.residual_moments("relu", mu, cov, A, C=C)
    for got, expected in zip((mean, full), want, strict=True):
        # chains of products of n terms, of numbers below 10
        assert np.abs(got.cpu().numpy() - expected).max() <= 64 * np.finfo(float).eps * 10
    assert torch.equal(full, full.mT)
