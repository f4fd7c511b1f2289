"""Kernels of the elementwise functions: one or two neurons per element, a block of elements per program.

Arguments broadcast to one shape and are read where they are, by strides (see `strided`): `sizes` are those of the
inner dimensions, innermost first, and `strides` every argument's along all dimensions. Outputs are contiguous.
Parameters and outputs are tuples of arrays; outputs share no memory, because users may write into one and keep
another. Each body is written against the identity and bound to an activation.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.formulas.bivariate_normal import (
    bivariate_cdf,
    bivariate_cdf_partials,
    log_bivariate_cdf,
    log_bivariate_cdf_partials,
)
from fastmoments_kernels.kinds import ALL, Kind
from fastmoments_kernels.vocabulary import Real, Reals


def _mean(neuron: Reals) -> Reals:
    return (formula.mean(neuron),)


def _var(neuron: Reals) -> Reals:
    return (formula.var(neuron),)


def _gain(neuron: Reals) -> Reals:
    return (formula.gain(neuron),)


def _marginals(neuron: Reals) -> Reals:
    return formula.mean(neuron), formula.var(neuron)


def _mean_dvar(neuron: Reals) -> Reals:
    return (formula.mean_dvar(neuron),)


def _var_partials(neuron: Reals) -> Reals:
    return formula.var_partials(neuron)


def _mean_dparameters(neuron: Reals) -> Reals:
    return formula.mean_dparameters(neuron)


def _var_dparameters(neuron: Reals) -> Reals:
    return formula.var_dparameters(neuron)


def _cov(one: Reals, two: Reals, cov_12: Real, slack: Real) -> Reals:
    return (formula.cov(one, two, cov_12, slack),)


def _cov_10(one: Reals, two: Reals, cov_12: Real, slack: Real) -> Reals:
    return (formula.cov_10(one, two, cov_12, slack),)


def _half_cov_20(one: Reals, two: Reals, cov_12: Real, slack: Real) -> Reals:
    return (0.5 * formula.cov_20(one, two, cov_12, slack),)


def _product_11(one: Reals, two: Reals, cov_12: Real, slack: Real) -> Reals:
    return (formula.product_11(one, two, cov_12, slack),)


def _cov_dparameters(one: Reals, two: Reals, cov_12: Real, slack: Real) -> Reals:
    return formula.cov_dparameters(one, two, cov_12, slack)


def _bivariate_normal_cdf(h: Real, k: Real, rho: Real) -> Reals:
    return (bivariate_cdf(h, k, rho),)


def _log_bivariate_normal_cdf(h: Real, k: Real, rho: Real) -> Reals:
    return (log_bivariate_cdf(h, k, rho),)


def _bivariate_normal_cdf_partials(h: Real, k: Real, rho: Real) -> Reals:
    return bivariate_cdf_partials(h, k, rho)


def _log_bivariate_normal_cdf_partials(h: Real, k: Real, rho: Real) -> Reals:
    return log_bivariate_cdf_partials(h, k, rho)


# cov_partials and cov_dparameters are launched in parts: together their results would spill registers
PARTS = {
    "cov_10": Kind(2, 1, "Cov(f'(X_1), f(X_2))"),
    "half_cov_20": Kind(2, 1, "Cov(f''(X_1), f(X_2)) / 2"),
    "product_11": Kind(2, 1, "E f'(X_1) f'(X_2)"),
    "cov_1_dparameters": Kind(2, None, "the derivatives of cov along the first neuron's parameters"),
}
BODIES = {
    "mean": _mean,
    "var": _var,
    "gain": _gain,
    "marginals": _marginals,
    "mean_dvar": _mean_dvar,
    "var_partials": _var_partials,
    "mean_dparameters": _mean_dparameters,
    "var_dparameters": _var_dparameters,
    "cov": _cov,
    "cov_10": _cov_10,
    "half_cov_20": _half_cov_20,
    "product_11": _product_11,
    "cov_1_dparameters": _cov_dparameters,
    "bivariate_normal_cdf": _bivariate_normal_cdf,
    "log_bivariate_normal_cdf": _log_bivariate_normal_cdf,
    "bivariate_normal_cdf_partials": _bivariate_normal_cdf_partials,
    "log_bivariate_normal_cdf_partials": _log_bivariate_normal_cdf_partials,
}
LAUNCHED = {name: (ALL | PARTS)[name] for name in BODIES}


def arrays_of(name: str, parameters: int) -> tuple[int, int]:
    """(arrays of parameters, arrays of outputs) of a kernel, for a neuron with `parameters` parameters."""
    kind = LAUNCHED[name]
    return kind.neurons * parameters, parameters if kind.outputs is None else kind.outputs


def elementwise_neurons(
    mu_ptr: Real,
    var_ptr: Real,
    parameter_ptrs: Reals,
    out_ptrs: Reals,
    count: Real,
    sizes: Reals,
    strides: Reals,
    BODY: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The values of BODY, a function of one neuron."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    at = places(i, sizes)
    mu = tl.load(mu_ptr + offset(at, strides, 0), mask=inside, other=0.0)
    var = tl.load(var_ptr + offset(at, strides, 1), mask=inside, other=1.0)
    parameters = load_parameters(parameter_ptrs, at, strides, inside, 2, 0, 1)
    store_each(out_ptrs, BODY(formula.neuron(mu, var, parameters)), i, inside)


def elementwise_pairs(
    mu_1_ptr: Real,
    mu_2_ptr: Real,
    var_1_ptr: Real,
    var_2_ptr: Real,
    cov_ptr: Real,
    parameter_ptrs: Reals,
    out_ptrs: Reals,
    count: Real,
    sizes: Reals,
    strides: Reals,
    slack: Real,
    BODY: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The values of BODY, a function of two neurons, whose parameters alternate."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    at = places(i, sizes)
    mu_1 = tl.load(mu_1_ptr + offset(at, strides, 0), mask=inside, other=0.0)
    mu_2 = tl.load(mu_2_ptr + offset(at, strides, 1), mask=inside, other=0.0)
    var_1 = tl.load(var_1_ptr + offset(at, strides, 2), mask=inside, other=1.0)
    var_2 = tl.load(var_2_ptr + offset(at, strides, 3), mask=inside, other=1.0)
    cov_12 = tl.load(cov_ptr + offset(at, strides, 4), mask=inside, other=0.0)
    one = formula.neuron(mu_1, var_1, load_parameters(parameter_ptrs, at, strides, inside, 5, 0, 2))
    two = formula.neuron(mu_2, var_2, load_parameters(parameter_ptrs, at, strides, inside, 5, 1, 2))
    store_each(out_ptrs, BODY(one, two, cov_12, slack), i, inside)


def places(i: Real, sizes: Reals) -> Reals:
    """The places of elements i along every dimension, innermost first; `sizes` lacks the outermost."""
    found: Reals = ()
    for d in tl.static_range(len(sizes)):
        outer = i // shown(sizes[d])
        found = found + (i - outer * shown(sizes[d]),)
        i = outer
    return found + (i,)


def offset(at: Reals, strides: Reals, ARGUMENT: tl.constexpr) -> Real:
    """Where an argument's elements at these places are, in int64: arrays may have more than 2^31 elements."""
    total = at[0] * shown(strides[ARGUMENT * len(at)])
    for d in tl.static_range(1, len(at)):
        total += at[d] * shown(strides[ARGUMENT * len(at) + d])
    return total


def shown(number: Real) -> Real:
    """The number that `strided.hidden` hides from Triton."""
    return number >> 5


def load_parameters(
    ptrs: Reals,
    at: Reals,
    strides: Reals,
    inside: Real,
    BEFORE: tl.constexpr,
    FIRST: tl.constexpr,
    STEP: tl.constexpr,
) -> Reals:
    """The parameters in arrays FIRST, FIRST + STEP, ..., as formula.neuron's tuple; BEFORE arguments precede."""
    parameters: Reals = ()
    for k in tl.static_range(FIRST, len(ptrs), STEP):
        number = tl.load(ptrs[k] + offset(at, strides, BEFORE + k), mask=inside, other=1.0)
        parameters = parameters + (number,)
    return parameters


def store_each(ptrs: Reals, values: Reals, i: Real, inside: Real) -> None:
    for k in tl.static_range(len(ptrs)):
        tl.store(ptrs[k] + i, values[k], mask=inside)


def elementwise_normal(
    h_ptr: Real,
    k_ptr: Real,
    rho_ptr: Real,
    out_ptrs: Reals,
    count: Real,
    sizes: Reals,
    strides: Reals,
    BODY: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The values of BODY, a function of the bivariate normal distribution."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    at = places(i, sizes)
    h = tl.load(h_ptr + offset(at, strides, 0), mask=inside, other=0.0)
    k = tl.load(k_ptr + offset(at, strides, 1), mask=inside, other=0.0)
    rho = tl.load(rho_ptr + offset(at, strides, 2), mask=inside, other=0.0)
    store_each(out_ptrs, BODY(h, k, rho), i, inside)
