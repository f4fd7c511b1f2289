"""Kernels of the elementwise functions: one or two neurons an element, a block of elements a program.

Arrays are flat and contiguous; a function of several values fills the rows of one (outputs, n) array. Each body
is written against the identity and bound to an activation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula
from fastmoments_kernels.vocabulary import Real, Reals


def _mean(mu: Real, var: Real) -> Reals:
    return (formula.mean(mu, var),)


def _var(mu: Real, var: Real) -> Reals:
    return (formula.var(mu, var),)


def _gain(mu: Real, var: Real) -> Reals:
    return (formula.gain(mu, var),)


def _marginals(mu: Real, var: Real) -> Reals:
    return formula.mean(mu, var), formula.var(mu, var)


def _mean_dvar(mu: Real, var: Real) -> Reals:
    return (formula.mean_dvar(mu, var),)


def _var_partials(mu: Real, var: Real) -> Reals:
    return formula.var_partials(mu, var)


def _cov(mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, slack: Real) -> Reals:
    return (formula.cov(formula.neuron(mu_1, var_1), formula.neuron(mu_2, var_2), cov_12, slack),)


def _cov_10(mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, slack: Real) -> Reals:
    return (formula.cov_10(formula.neuron(mu_1, var_1), formula.neuron(mu_2, var_2), cov_12, slack),)


def _half_cov_20(mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, slack: Real) -> Reals:
    return (0.5 * formula.cov_20(formula.neuron(mu_1, var_1), formula.neuron(mu_2, var_2), cov_12, slack),)


def _product_11(mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, slack: Real) -> Reals:
    return (formula.product_11(formula.neuron(mu_1, var_1), formula.neuron(mu_2, var_2), cov_12, slack),)


class Body(NamedTuple):
    """A function of one or two neurons: its numbers of inputs and outputs."""

    function: Callable[..., Any]
    inputs: int
    outputs: int


BODIES = {
    "mean": Body(_mean, 2, 1),
    "var": Body(_var, 2, 1),
    "gain": Body(_gain, 2, 1),
    "marginals": Body(_marginals, 2, 2),
    "mean_dvar": Body(_mean_dvar, 2, 1),
    "var_partials": Body(_var_partials, 2, 2),
    "cov": Body(_cov, 5, 1),
    "cov_10": Body(_cov_10, 5, 1),
    "half_cov_20": Body(_half_cov_20, 5, 1),
    "product_11": Body(_product_11, 5, 1),
}


def of_neurons(
    mu_ptr: Real,
    var_ptr: Real,
    out_ptr: Real,
    n: Real,
    BODY: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    mu = tl.load(mu_ptr + i, mask=inside, other=0.0)
    var = tl.load(var_ptr + i, mask=inside, other=1.0)
    values = BODY(mu, var)
    for k in tl.static_range(OUTPUTS):
        tl.store(out_ptr + k * n + i, values[k], mask=inside)


def of_pairs(
    mu_1_ptr: Real,
    mu_2_ptr: Real,
    var_1_ptr: Real,
    var_2_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    n: Real,
    slack: Real,
    BODY: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    mu_1 = tl.load(mu_1_ptr + i, mask=inside, other=0.0)
    mu_2 = tl.load(mu_2_ptr + i, mask=inside, other=0.0)
    var_1 = tl.load(var_1_ptr + i, mask=inside, other=1.0)
    var_2 = tl.load(var_2_ptr + i, mask=inside, other=1.0)
    cov_12 = tl.load(cov_ptr + i, mask=inside, other=0.0)
    values = BODY(mu_1, mu_2, var_1, var_2, cov_12, slack)
    for k in tl.static_range(OUTPUTS):
        tl.store(out_ptr + k * n + i, values[k], mask=inside)
