"""The gradients of the covariance matrix along neurons' parameters, by the formula for every pair.

A program has a neuron and BLOCK others, over which it adds: in a loop over blocks a mixture's formula would spill.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.covariance_vjp import weigh
from fastmoments_kernels.vocabulary import Real, Reals


def pairs_dparameters(
    mu_ptr: Real,
    cov_ptr: Real,
    parameter_ptrs: Reals,
    cov_bar_ptr: Real,
    out_ptrs: Reals,
    n: Real,
    blocks: Real,
    slack: Real,
    BLOCK: tl.constexpr,
) -> None:
    """Write each block's shares (batch, blocks, n) of the gradients along each parameter, (batch, n).

    A neuron's pairs with others are those of cov's upper triangle; a pair's weight is cov_bar there and mirrored.
    """
    block, task = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    m, i = task.to(tl.int64) // n, task % n
    j = block * BLOCK + tl.arange(0, BLOCK)
    inside = (i != j) & (j < n)
    at = (m * n + tl.minimum(i, j)) * n + tl.maximum(i, j)
    cov_12 = tl.load(cov_ptr + at, mask=inside, other=0.0)
    weight = tl.load(cov_bar_ptr + (m * n + i) * n + j, mask=inside, other=0.0)
    weight += tl.load(cov_bar_ptr + (m * n + j) * n + i, mask=inside, other=0.0)
    one = loaded(mu_ptr, cov_ptr, parameter_ptrs, m, i, n)
    slopes = formula.cov_dparameters(one, loaded(mu_ptr, cov_ptr, parameter_ptrs, m, j, n), cov_12, slack)
    for k in tl.static_range(len(out_ptrs)):
        tl.store(out_ptrs[k] + (m * blocks + block) * n + i, tl.sum(weigh(weight, slopes[k]), 0))


def loaded(mu_ptr: Real, cov_ptr: Real, parameter_ptrs: Reals, m: Real, i: Real, n: Real) -> Reals:
    """The features of neurons i; each parameter is (batch, n)."""
    at = m * n + i
    mu = tl.load(mu_ptr + at, mask=i < n, other=0.0)
    var = tl.load(cov_ptr + at * n + i, mask=i < n, other=1.0)
    parameters: Reals = ()
    for k in tl.static_range(len(parameter_ptrs)):
        parameters = parameters + (tl.load(parameter_ptrs[k] + at, mask=i < n, other=1.0),)
    return formula.neuron(mu, var, parameters)
