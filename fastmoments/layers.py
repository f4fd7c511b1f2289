"""Mean and covariance of the output of affine layers, residual layers and layers of Gaussian weights.

Each layer is a sequence of the steps in `layer_steps`.
"""

from __future__ import annotations

from typing import Any, Literal, overload

from fastmoments.elementwise import gain
from fastmoments.frameworks import framework_of
from fastmoments.frameworks.products import finite
from fastmoments.hints import explained
from fastmoments.layer_steps import LayerCall, plan_of_given
from fastmoments.moments import moments
from fastmoments.parameters import of_neurons
from fastmoments.results import Marginals, Moments, MomentsCross, T
from fastmoments.signatures import Operand


@overload
def affine_moments(
    mu: Operand[T],
    cov: Operand[T],
    weight: Operand[T],
    bias: Operand[T] | None = None,
    *,
    return_cross: Literal[False] = False,
) -> Moments[T]: ...
@overload
def affine_moments(
    mu: Operand[T],
    cov: Operand[T],
    weight: Operand[T],
    bias: Operand[T] | None = None,
    *,
    return_cross: Literal[True],
) -> MomentsCross[T]: ...
@explained
def affine_moments(
    mu: Operand[T],
    cov: Operand[T],
    weight: Operand[T],
    bias: Operand[T] | None = None,
    *,
    return_cross: bool = False,
) -> Any:
    """Mean and covariance of weight X + bias for X ~ N(mu, cov): exact for any X with these moments.

    Parameters
    ----------
    mu : array (..., n), the mean of X.
    cov : array (..., n, n), the covariance of X; its upper triangle is read.
    weight : array (m, n).
    bias : array (m,), or None for 0.
    return_cross : also return Cov(X, output).

    Returns
    -------
    Moments or MomentsCross
        `mean` (..., m) = weight mu + bias and `cov` (..., m, m) = weight cov weight^T, exactly symmetric; with
        `return_cross` also `cross` (..., n, m) = cov weight^T.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.
    """
    call = LayerCall(mu=mu, cov=cov, weight=weight, bias=bias)
    with call.arithmetic():
        out = call.affine("weight", "bias")
        cross = call.transposed(call.product(out.weights)) if return_cross else None
    return call.results(out.mean, out.cov, cross)


@overload
def residual_moments(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    A: Operand[T],
    b: Operand[T] | None = None,
    C: Operand[T] | Literal["identity"] | None = None,
    d: Operand[T] | None = None,
    *,
    A_var: Operand[T] | None = None,
    b_var: Operand[T] | None = None,
    return_cross: Literal[False] = False,
) -> Moments[T]: ...
@overload
def residual_moments(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    A: Operand[T],
    b: Operand[T] | None = None,
    C: Operand[T] | Literal["identity"] | None = None,
    d: Operand[T] | None = None,
    *,
    A_var: Operand[T] | None = None,
    b_var: Operand[T] | None = None,
    return_cross: Literal[True],
) -> MomentsCross[T]: ...
@explained
def residual_moments(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    A: Operand[T],
    b: Operand[T] | None = None,
    C: Operand[T] | Literal["identity"] | None = None,
    d: Operand[T] | None = None,
    *,
    A_var: Operand[T] | None = None,
    b_var: Operand[T] | None = None,
    return_cross: bool = False,
) -> Any:
    """Mean and covariance of f(A X + b) + C X + d for X ~ N(mu, cov), exact.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name.
    mu : array (..., n), the mean of X.
    cov : array (..., n, n), the covariance of X; its upper triangle is read.
    A : array (m, n).
    b : array (m,) or None for 0.
    C : array (m, n), "identity" (m = n) or None for 0.
    d : array (m,) or None for 0.
    A_var, b_var : arrays (m, n) and (m,), variances of independent Gaussian weights whose means are A and b.
        A X + b is then not Gaussian; the result is that for a Gaussian with its mean and covariance.
    return_cross : also return Cov(X, output).

    Returns
    -------
    Moments or MomentsCross
        `mean` (..., m) and `cov` (..., m, m), exactly symmetric; with `return_cross` also `cross` (..., n, m).

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.

    Notes
    -----
    With K the covariance of f and G its gains at A X + b, cov_out = K + G A cov C^T + (G A cov C^T)^T + C cov C^T
    by Stein's lemma. The last three terms are (G A cov + C cov / 2) C^T, one product, and its transpose. A variance
    of A cov A^T that rounding made negative, down to -n eps sum_i (sum_j |A_ij| sd_j)^2, becomes 0. A variance
    below that is an error (nan on JAX).

    References
    ----------
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.
    """
    identity = isinstance(C, str)
    if identity and C != "identity":
        raise ValueError(f'C: expected a matrix, "identity" or None, got {C!r}')
    call = LayerCall(mu=mu, cov=cov, A=A, b=b, C=None if identity else C, d=d, A_var=A_var, b_var=b_var)
    with call.arithmetic():
        inner, spread, weights = call.affine("A", "b", "A_var", "b_var")
        mean, full = moments(activation, inner, spread)
        gains = finite(call.xp, gain(activation, inner, call.diagonal(spread)))
        del spread  # to free its memory
        cross = gains[..., None] * call.product(weights) if return_cross else None
        if C is not None:
            through, matrix = call.skipped(mean.shape[-1], identity)
            mean, full = mean + through, call.with_skip(full, gains, weights, matrix)
            cross = None if cross is None else cross + call.across(matrix)
        if d is not None:
            mean = mean + call.vector("d", mean.shape[-1])
    return call.results(mean, full, None if cross is None else call.transposed(cross))


@overload
def bayes_linear_moments(
    mu: Operand[T],
    cov: Operand[T],
    weight_mean: Operand[T],
    weight_var: Operand[T],
    bias_mean: Operand[T] | None = None,
    bias_var: Operand[T] | None = None,
    activation: Any = None,
    *,
    return_cross: Literal[False] = False,
) -> Moments[T]: ...
@overload
def bayes_linear_moments(
    mu: Operand[T],
    cov: Operand[T],
    weight_mean: Operand[T],
    weight_var: Operand[T],
    bias_mean: Operand[T] | None = None,
    bias_var: Operand[T] | None = None,
    activation: Any = None,
    *,
    return_cross: Literal[True],
) -> MomentsCross[T]: ...
@explained
def bayes_linear_moments(
    mu: Operand[T],
    cov: Operand[T],
    weight_mean: Operand[T],
    weight_var: Operand[T],
    bias_mean: Operand[T] | None = None,
    bias_var: Operand[T] | None = None,
    activation: Any = None,
    *,
    return_cross: bool = False,
) -> Any:
    """Mean and covariance of W X + b, or f(W X + b), with independent Gaussian weights and X ~ N(mu, cov).

    Parameters
    ----------
    mu : array (..., n), the mean of X.
    cov : array (..., n, n), the covariance of X; its upper triangle is read.
    weight_mean, weight_var : arrays (m, n).
    bias_mean, bias_var : arrays (m,), or None for 0.
    activation : an object such as ReLU(), its name, or None for the linear layer alone.
    return_cross : also return Cov(X, output).

    Returns
    -------
    Moments or MomentsCross
        `mean` (..., m) and `cov` (..., m, m), exactly symmetric; with `return_cross` also `cross` (..., n, m).

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.

    Notes
    -----
    cov_out = M cov M^T + diag(sum_j V_ij (cov_jj + mu_j^2) + bias_var), exact for any X with these moments.
    W X + b is not Gaussian. With an activation the result is that for a Gaussian with these moments.
    """
    if activation is not None:
        others: dict[str, Any] = {"A_var": weight_var, "b_var": bias_var, "return_cross": return_cross}
        return residual_moments(activation, mu, cov, weight_mean, bias_mean, **others)
    given: dict[str, Any] = {"bias_mean": bias_mean, "bias_var": bias_var}
    call = LayerCall(mu=mu, cov=cov, weight_mean=weight_mean, weight_var=weight_var, **given)
    with call.arithmetic():
        out = call.affine("weight_mean", "bias_mean", "weight_var", "bias_var")
        cross = call.transposed(call.product(out.weights)) if return_cross else None
    return call.results(out.mean, out.cov, cross)


@explained
def bayes_linear_marginals(
    mu: Operand[T],
    var: Operand[T],
    weight_mean: Operand[T],
    weight_var: Operand[T],
    bias_mean: Operand[T] | None = None,
    bias_var: Operand[T] | None = None,
    activation: Any = None,
) -> Marginals[T]:
    """Mean and variance of every output of W X + b, or f(W X + b): independent Gaussian weights and inputs.

    Parameters
    ----------
    mu, var : arrays (..., n), mean and variance of the inputs, which count as uncorrelated.
    weight_mean, weight_var : arrays (m, n).
    bias_mean, bias_var : arrays (m,), or None for 0.
    activation : an object such as NPN(), its name, or None for the linear layer alone.

    Returns
    -------
    Marginals
        `mean` and `var`, (..., m) each.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.

    Notes
    -----
    var_out = (M^2 + V) var + V mu^2 + bias_var, exact for independent inputs. With an activation the result is that
    for a Gaussian with these moments (Wang et al. 2016). One kernel computes it for NumPy arrays, and for tensors
    on the CPU or CUDA that are not tracked by autograd. On CUDA, products of bfloat16 are added in float32, and
    float32 is rounded to tf32 only if torch.backends.cuda.matmul.fp32_precision says so.
    """
    given: dict[str, Any] = {"bias_mean": bias_mean, "bias_var": bias_var}
    given |= {"mu": mu, "var": var, "weight_mean": weight_mean, "weight_var": weight_var}
    name, parameters = (None, {}) if activation is None else of_neurons(activation)
    plan = plan_of_given(given | parameters)
    kernel = framework_of(plan).linear_kernel(plan, name, given, parameters)
    if kernel is not None:
        # the kernel multiplies bfloat16; squares of float16 might overflow
        lowered = plan.backend == "gpu" and plan.result == "bfloat16"
        call = LayerCall(plan._replace(compute="bfloat16") if lowered else plan, ("var",), **given)
        with call.arithmetic():
            found = call.by_kernel(kernel, name, parameters)
        return Marginals(*(call.result(x) for x in found))
    call = LayerCall(**given)
    with call.arithmetic():
        found = call.marginals(activation)
    return Marginals(*(call.result(x) for x in found))
