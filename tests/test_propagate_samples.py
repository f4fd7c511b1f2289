"""Every module that `fm.nn.propagate` knows, alone, against samples: within the standard errors of their moments.

All means and all covariances of all modules are compared, each at a level that makes LEVEL that of the whole by
Bonferroni's inequality: right moments are taken for wrong ones in so many runs, over the draws of all samples.
"""

import functools

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

import fastmoments as fm  # noqa: E402
from tests.network_cases import CASES, gaussian, matrix_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
LEVEL = 1e-3
CHUNK = 10**5


@functools.cache
def standard_errors():
    """The number of standard errors by which an estimate may be off."""
    sizes = [case.module(torch.zeros(1, *case.shape, dtype=torch.float64)).numel() for case in CASES.values()]
    compared = sum(m + m * (m + 1) // 2 for m in sizes)
    return norm.isf(LEVEL / 2 / compared)


def outputs_of(module, x):
    """f(x) of every row, with a draw of random weights for each row."""
    if not isinstance(module, fm.nn.BayesLinear):
        return module(x)
    mean, var, bias, bias_var = (value.expand(len(x), *value.shape) for value in module.distribution())
    weight, bias = torch.normal(mean, var.sqrt()), torch.normal(bias, bias_var.sqrt())
    return torch.einsum("bij,bj->bi", weight, x) + bias


@pytest.mark.parametrize("count", [10**5, pytest.param(10**7, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_moments_are_those_of_samples(name, count):
    module, shape = CASES[name]
    mu, cov = gaussian(shape)
    found = fm.nn.propagate(module, mu[None], cov[None])
    mean, full = found.mean.reshape(-1), found.cov[0]
    root = torch.linalg.cholesky(cov)
    torch.manual_seed(1)
    sums = [torch.zeros_like(x) for x in (mean, full, full)]
    with torch.no_grad():
        for _ in range(count // CHUNK):
            x = mu + (torch.randn(CHUNK, mu.numel(), dtype=mu.dtype) @ root.T).reshape(CHUNK, *shape)
            off = outputs_of(module, x).reshape(CHUNK, -1) - mean
            for total, new in zip(sums, (off.sum(0), off.T @ off, (off * off).T @ (off * off)), strict=True):
                total += new
    # if the mean is right, products of deviations from it have the covariance as their mean
    shift, product, square = (total / count for total in sums)
    errors = torch.sqrt((square - product**2).clamp_min(0.0) / count)
    variances = (torch.diag(product) - shift**2) / count
    assert (torch.abs(shift) <= standard_errors() * torch.sqrt(variances)).all()
    assert (torch.abs(product - full) <= standard_errors() * errors).all()


@pytest.mark.parametrize("name", CASES)
def test_variances_alone_are_the_diagonal(name):
    """Variances of independent inputs give those of the full covariance, which is diagonal."""
    module, shape = CASES[name]
    mu, cov = gaussian(shape)
    var = torch.diag(cov)
    full = fm.nn.propagate(module, mu[None], torch.diag(var)[None])
    mean, out = fm.nn.propagate(module, mu[None], var.reshape(1, *shape), covariance="diagonal")
    # activations without a closed form are right to 1e-10
    torch.testing.assert_close(mean, full.mean, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(out.reshape(-1), torch.diagonal(full.cov[0]), rtol=1e-9, atol=1e-12)


LAYERS = ("linear", "conv", "pooling", "flatten", "dropout", "batchnorm")  # torch's modules of affine layers
CERTAIN = [x for x, case in CASES.items() if type(case.module).__module__.rpartition(".")[2] in LAYERS]


@pytest.mark.parametrize("name", CERTAIN)
def test_affine_modules_are_their_matrices(name):
    module, shape = CASES[name]
    (mu, cov), (matrix, constant) = gaussian(shape), matrix_of(module, shape)
    mean, full = fm.nn.propagate(module, mu[None], cov[None])
    np.testing.assert_allclose(mean.reshape(-1), matrix @ mu.reshape(-1) + constant, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(full[0], matrix @ cov @ matrix.T, rtol=1e-13, atol=1e-13)
    assert torch.equal(full, full.mT)
    assert mean.shape == module(mu[None]).shape
