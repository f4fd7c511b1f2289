"""Tests of Triton's kernels, on a card or interpreted; test_gpu.py runs this file in other processes.

Interpreted and compiled kernels do not mix in one process, and TRITON_INTERPRET is read when Triton is imported.
"""

import os
from functools import partial

import numpy as np
import pytest
import torch

import fastmoments as fm
from fastmoments.frameworks import torch_ops
from fastmoments_kernels import gpu
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.kinds import outputs_of
from tests import conformance, points
from tests.card import DEVICE, as_on_a_card
from tests.matrices import REAL, Expected, alive_neurons, draw, expected, single
from tests.rows import QUICK, function, numbers
from tests.test_matrices import assert_within, gradient

# test_gpu.py asks for one at a time
ROWS = [row for row in CATALOGUE if row.name == os.environ.get("GPU_CASES_OF", row.name)]

activations = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
dtypes = pytest.mark.parametrize("dtype", ("float64", "float32"))


def on_device(array, dtype):
    """One matrix or vector, as a batch of one."""
    return torch.as_tensor(array, dtype=getattr(torch, dtype), device=DEVICE)[None]


def parameters(row, like):
    """The activation's numbers as the kernels take them, one tensor each of mu's shape."""
    return tuple(torch.full_like(like, number) for number in numbers(row.name))


# less than a tile, several tiles and a part of one, and tiles that duplicates send to the pair formula
@pytest.mark.parametrize("kind, n", [("typical", 1), ("strong", 5), ("duplicated", 33), ("typical", 65)])
@dtypes
@activations
def test_moments(row, dtype, kind, n, new_memory_is_nan):
    mu, cov = (on_device(array, dtype) for array in draw(kind, n))
    mean, out = torch.full_like(mu, torch.nan), torch.full_like(cov, torch.nan)
    gpu.moments(row.name, mu, cov, mean, out, parameters(row, mu))
    mean, out = mean[0].cpu().numpy(), out[0].cpu().numpy()
    assert np.array_equal(out, out.T)
    if row.name in QUICK:
        want = expected(row, kind, n, count=3)
        assert_within(mean, want.mean, np.abs(want.mean) + want.mean_size, dtype, "mean")
    else:
        want = by_pairs(row, kind, n)
    sd = np.sqrt(np.diag(want.cov))
    assert_within(out, want.cov, sd[:, None] * sd + want.cov_size, dtype, "cov")


# pairs within the series' reach, a few beyond it, and more than a tile's segment of the list has room for
@pytest.mark.parametrize("kind", ("typical", "duplicated", "strong"))
@dtypes
@activations
def test_tiles_inside_the_matrix(row, dtype, kind, new_memory_is_nan):
    """Two matrices of several tiles, the second with a neuron that is nan; inputs stay as they are."""
    n, bad = 130, 70
    mu, cov = (torch.stack([array[0], array[0]]) for array in (on_device(array, dtype) for array in draw(kind, n)))
    mu[1, bad] = torch.nan
    given = mu.clone(), cov.clone()
    mean, out = torch.full_like(mu, torch.nan), torch.full_like(cov, torch.nan)
    gpu.moments(row.name, mu, cov, mean, out, parameters(row, mu))
    assert torch.equal(mu.nan_to_num(), given[0].nan_to_num()) and torch.equal(cov, given[1])
    want = by_pairs(row, kind, n)
    sd = np.sqrt(np.diag(want.cov))
    scale, others = sd[:, None] * sd + want.cov_size, np.arange(n) != bad
    for m, inside in enumerate((np.full(n, True), others)):
        got = out[m].cpu().numpy()
        assert np.array_equal(got, got.T, equal_nan=True)
        assert np.isnan(got[~inside]).all()
        pairs = np.ix_(inside, inside)
        assert_within(got[pairs], want.cov[pairs], scale[pairs], dtype, "cov")


def by_pairs(row, kind, n):
    """The pair function, which the tables judge, for activations whose truth takes hours."""
    mu, cov = draw(kind, n)
    (i, j), var = np.indices((n, n)), np.diag(cov)
    out = function(row.name, "cov")(mu[i], mu[j], var[i], var[j], cov)
    same = (mu == mu[:, None]) & (cov == var) & (cov == var[:, None])
    if hasattr(row.formula, "conditional_var"):
        same &= np.eye(n, dtype=bool)
    out = np.where(same, function(row.name, "var")(mu, var), out)
    return Expected(function(row.name, "mean")(mu, var), np.zeros(n), out, np.abs(out))


@dtypes
@activations
def test_a_bad_number_stays_where_it_is(row, dtype):
    mu, cov = (on_device(array, dtype) for array in draw("typical", 5))
    mean, out = torch.empty_like(mu), torch.empty_like(cov)
    mu[0, 1], cov[0, 3, 3] = torch.nan, -1.0
    gpu.moments(row.name, mu, cov, mean, out, parameters(row, mu))
    bad = torch.tensor([False, True, False, True, False], device=DEVICE)
    assert torch.equal(mean[0].isnan(), bad)
    assert torch.equal(out[0].isnan(), bad[:, None] | bad)


@pytest.mark.parametrize("n", (1, 33))
@dtypes
@activations
def test_vjp(row, dtype, n, new_memory_is_nan):
    mu, cov = draw("typical", n)
    rng = np.random.default_rng(n)
    mean_bar, cov_bar = single(rng.standard_normal(n)), single(rng.standard_normal((n, n)))
    symmetric = single(0.5 * (cov_bar + cov_bar.T))
    arrays = [on_device(array, dtype) for array in (mu, cov, mean_bar, symmetric)]
    got = gpu.moments_vjp(row.name, *arrays, parameters(row, arrays[0]))
    assert torch.equal(got[1], got[1].mT)
    if row.name in QUICK:
        want = gradient(alive_neurons(row, "typical", n), cov, mean_bar.astype(REAL), symmetric.astype(REAL))
    else:
        vjp = function(row.name, "moments_vjp")
        # of the mean and of the covariance, which may cancel
        parts = list(zip(vjp(mu, cov, mean_bar, 0 * cov), vjp(mu, cov, 0 * mu, symmetric), strict=True))
        # sums of n terms, each right to a few eps of the largest
        want = [sum(pair) for pair in parts], [np.full(pair[0].shape, n * np.abs(pair).max()) for pair in parts]
    for name, result, *expectation in zip(("mu_bar", "cov_bar"), got, *want, strict=True):
        assert_within(result[0].cpu().numpy(), *expectation, dtype, name)
    again = gpu.moments_vjp(row.name, *arrays, parameters(row, arrays[0]))
    assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))


@dtypes
@activations
def test_vjp_of_strong_correlations(row, dtype, new_memory_is_nan):
    """The table's pairs in one matrix, uncorrelated with each other, take the formula."""
    cases = [case for case in points.table(row.name, dtype) if len(case.inputs) == 5]
    # mixtures of one size: a matrix has one number of components
    cases = [case for case in cases if len(points.numbers(row, case)) == len(points.numbers(row, cases[0]))]
    cases = [case for case in cases if is_strong(case, row, dtype)][:8]
    count = 2 * len(cases)
    assert count >= 8
    mu, cov, bar = np.zeros(count), np.zeros((count, count)), np.zeros((count, count))
    own = np.array([points.numbers(row, case) for case in cases]).reshape(len(cases), -1, 2)
    for k, case in enumerate(cases):
        i, j = 2 * k, 2 * k + 1
        mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j] = case.inputs
        bar[i, j] = bar[j, i] = 0.5
    arrays = (on_device(array, dtype) for array in (mu, cov, np.zeros(count), bar))
    per_neuron = tuple(on_device(column.ravel(), dtype) for column in own.transpose(1, 0, 2))
    mu_bar, cov_bar = (array[0].cpu().numpy() for array in gpu.moments_vjp(row.name, *arrays, per_neuron))
    var_bar, across = np.diag(cov_bar), 2 * np.diag(cov_bar, 1)[::2]
    by_name = zip(
        conformance.PARTIALS, (mu_bar[::2], mu_bar[1::2], var_bar[::2], var_bar[1::2], across), strict=True
    )
    for name, result in by_name:
        for got, case in zip(result, cases, strict=True):
            if name in case.truth:
                error = conformance.error(got, *case.truth[name], dtype)
                assert error <= conformance.BOUND, (name, error, case.inputs)


def is_strong(case, row, dtype):
    """Whether the pair takes the formula, every derivative is judged, and no number dwarfs the others."""
    mu_1, mu_2, var_1, var_2, cov_12 = case.inputs
    eps = float(np.finfo(dtype).eps)
    names = [name for name in conformance.PARTIALS if name in case.truth]
    return (
        0.81 * var_1 * var_2 < cov_12**2 < var_1 * var_2
        and 1e-3 < var_1 < 1e3
        and 1e-3 < var_2 < 1e3
        and not any(points.why_excluded(case, name, row.kinks, eps) for name in names)
    )


@activations
def test_tensors_reach_the_kernels(row, monkeypatch):
    """The public functions and autograd send tensors to Triton's kernels; without a card, CPU tensors."""
    moments, cov_of = (function(row.name, kind) for kind in ("moments", "cov"))
    mu, cov = (torch.as_tensor(array, device=DEVICE).requires_grad_() for array in draw("typical", 5))
    expected = differentiated(moments, mu.cpu(), cov.cpu())
    with monkeypatch.context() as patch:
        as_on_a_card(patch)
        found = differentiated(moments, mu, cov)
        pair = cov_of(mu[0], mu[1], cov[0, 0], cov[1, 1], cov[0, 1])
        cdf = fm.bivariate_normal_cdf(torch.tensor([0.5, -1.0], device=DEVICE), 0.25, -0.5)
    for got, want in zip(found, expected, strict=True):
        error = (got.cpu() - want).abs().max().item()
        assert error <= 64 * np.finfo(np.float64).eps * (1.0 + want.abs().max().item())
    assert abs(pair.item() - found[0][0, 1].item()) <= 64 * np.finfo(np.float64).eps
    elsewhere = fm.bivariate_normal_cdf(np.array([0.5, -1.0], np.float32), 0.25, -0.5)
    assert np.abs(cdf.cpu().numpy() - elsewhere).max() <= 8 * np.finfo(np.float32).eps


@activations
def test_outputs_have_memory_of_their_own(row, monkeypatch):
    """Users may write into one output and keep another; torch.compile's operators refuse shared memory."""
    as_on_a_card(monkeypatch)
    mu = torch.tensor([0.5, -1.0], device=DEVICE)
    own = parameters(row, mu)
    arguments = {
        "mean_dparameters": (mu, mu * mu, *own),
        "var_partials": (mu, mu * mu, *own),
        "cov_dparameters": (mu, mu, mu * mu, mu * mu, 0.5 * mu * mu, *(x for x in own for _ in range(2))),
        "cov_partials": (mu, mu, mu * mu, mu * mu, 0.5 * mu * mu, *(x for x in own for _ in range(2))),
    }
    for kind in [kind for kind in arguments if outputs_of(kind, len(arguments[kind]))]:
        outputs = torch_ops.elementwise(row.name, kind, list(arguments[kind]))
        assert len({x.untyped_storage().data_ptr() for x in outputs}) == len(outputs)
    mean, var = function(row.name, "marginals")(mu, 1.0)
    mean.add_(1.0)  # autograd counts writes per storage
    assert var._version == 0


def test_compiled_functions_of_several_outputs(monkeypatch):
    as_on_a_card(monkeypatch)
    given = torch.tensor([0.5, -1.0], device=DEVICE), torch.tensor([0.25, 2.0], device=DEVICE)
    found = torch.compile(fm.relu_marginals, backend="aot_eager", fullgraph=True)(*given)
    for got, want in zip(found, fm.relu_marginals(*given), strict=True):
        assert torch.equal(got, want)


def negated(tensor):
    """A tensor of the same numbers whose memory holds them with the other sign."""
    view = torch._neg_view((-tensor).contiguous())  # the imaginary part of a conjugated tensor is such a view
    assert view.is_neg() and view.is_contiguous() and torch.equal(view, tensor)
    return view


def test_negated_memory(monkeypatch):
    """A tensor may have a bit that negates its numbers; kernels get only a pointer."""
    as_on_a_card(monkeypatch)
    mu, cov = (torch.as_tensor(array, device=DEVICE) for array in draw("typical", 3))
    calls = [
        (fm.npn_marginals, (mu, cov.diagonal())),
        (fm.relu_moments, (mu, cov)),
        (fm.relu_moments_vjp, (mu, cov, mu, cov)),
        (partial(fm.bayes_linear_marginals, activation="relu"), (mu, mu * mu, cov, cov * cov, mu, mu * mu)),
        (partial(fm.residual_moments, "relu", C="identity"), (mu, cov, cov, mu)),
    ]
    for call, tensors in calls:
        for got, want in zip(call(*map(negated, tensors)), call(*tensors), strict=True):
            assert torch.equal(got, want), call
    bar, leaf = torch.ones_like(mu), mu.requires_grad_()
    mean, full = fm.relu_moments(leaf, cov)
    bars = [bar, torch.ones_like(cov)]
    want, got = (
        torch.autograd.grad((mean, full), leaf, given, retain_graph=True) for given in (bars, map(negated, bars))
    )
    assert torch.equal(*got, *want)


def differentiated(moments, mu, cov):
    """A matrix and the gradients of the sum of its elements."""
    _, out = moments(mu, cov)
    return out.detach(), *torch.autograd.grad(out.sum(), (mu, cov))
