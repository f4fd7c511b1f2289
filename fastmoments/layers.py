"""Layers: what an affine map, a residual layer and a layer of Gaussian weights do to a mean and a covariance.

Written once in the words NumPy, PyTorch and JAX share; `frameworks` brings their arrays in and out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from fastmoments.dispatch import Plan, framework_of, plan_of
from fastmoments.frameworks import products
from fastmoments.moments import gain, marginals, moments
from fastmoments.parameters import of_neurons
from fastmoments.results import Marginals, Moments, MomentsCross, T
from fastmoments.signatures import Operand

Array = Any

ROWS = 1024  # of `bayes_linear_marginals` at a time on NumPy: what belongs to them stays in cache


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
    return_cross : return Cov(X, output) as well.

    Returns
    -------
    Moments or MomentsCross
        `mean` (..., m) = weight mu + bias and `cov` (..., m, m) = weight cov weight^T, exactly symmetric; on
        request `cross` (..., n, m) = cov weight^T.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.
    """
    layer = _Layer(mu=mu, cov=cov, weight=weight, bias=bias)
    with layer.arithmetic():
        out = layer.affine("weight", "bias")
    return layer.results(out.mean, out.cov, layer.transposed(out.product) if return_cross else None)


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
    A : array (m, n); b : array (m,) or None for 0.
    C : array (m, n), "identity" (m = n) or None for 0; d : array (m,) or None for 0.
    A_var, b_var : arrays (m, n) and (m,), variances of independent Gaussian weights whose means are A and b. Then
        A X + b is not Gaussian, and the result that of a Gaussian with its moments.
    return_cross : return Cov(X, output) as well.

    Returns
    -------
    Moments or MomentsCross
        `mean` (..., m) and `cov` (..., m, m), exactly symmetric; on request `cross` (..., n, m).

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.

    Notes
    -----
    With K the covariance of f and G its gains at A X + b, cov_out = K + G A cov C^T + (G A cov C^T)^T + C cov C^T
    by Stein's lemma. A cov is formed once. A variance of A cov A^T below 0 by rounding, down to
    -n eps sum_i (sum_j |A_ij| sd_j)^2, becomes 0; one further below is an error (nan on JAX).

    References
    ----------
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.
    """
    identity = isinstance(C, str)
    if identity and C != "identity":
        raise ValueError(f'C: expected a matrix, "identity" or None, got {C!r}')
    layer = _Layer(mu=mu, cov=cov, A=A, b=b, C=None if identity else C, d=d, A_var=A_var, b_var=b_var)
    with layer.arithmetic():
        before = layer.affine("A", "b", "A_var", "b_var")
        mean, full = moments(activation, before.mean, before.cov)
        gains = gain(activation, before.mean, layer.diagonal(before.cov))[..., None]
        cross = gains * before.product
        if C is not None:
            through, mixed, skipped, across = layer.skip(before.product, identity)
            mean, full, cross = mean + through, layer.with_skip(full, gains, mixed, skipped), cross + across
        if d is not None:
            mean = mean + layer.vector("d", mean.shape[-1])
    return layer.results(mean, full, layer.transposed(cross) if return_cross else None)


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
    return_cross : return Cov(X, output) as well.

    Returns
    -------
    Moments or MomentsCross
        `mean` (..., m) and `cov` (..., m, m), exactly symmetric; on request `cross` (..., n, m).

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance.

    Notes
    -----
    cov_out = M cov M^T + diag(sum_j V_ij (cov_jj + mu_j^2) + bias_var), exact for any X with these moments.
    W X + b is not Gaussian; behind an activation the result is that of a Gaussian with these moments.
    """
    if activation is not None:
        others: dict[str, Any] = {"A_var": weight_var, "b_var": bias_var, "return_cross": return_cross}
        return residual_moments(activation, mu, cov, weight_mean, bias_mean, **others)
    given: dict[str, Any] = {"bias_mean": bias_mean, "bias_var": bias_var}
    layer = _Layer(mu=mu, cov=cov, weight_mean=weight_mean, weight_var=weight_var, **given)
    with layer.arithmetic():
        out = layer.affine("weight_mean", "bias_mean", "weight_var", "bias_var")
    return layer.results(out.mean, out.cov, layer.transposed(out.product) if return_cross else None)


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
    mu, var : arrays (..., n), mean and variance of the inputs; what correlates them is left out.
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
    var_out = (M^2 + V) var + V mu^2 + bias_var, exact for independent inputs; behind an activation the result is
    that of a Gaussian with these moments (Wang et al. 2016). On NumPy rows pass through it a block at a time. On
    CUDA tensors of which nobody asks for derivatives it is one kernel: bfloat16 is multiplied as it is and added in
    float32; float32 becomes tf32 only if torch.backends.cuda.matmul.fp32_precision says so.
    """
    given: dict[str, Any] = {"bias_mean": bias_mean, "bias_var": bias_var}
    given |= {"mu": mu, "var": var, "weight_mean": weight_mean, "weight_var": weight_var}
    name, parameters = (None, {}) if activation is None else of_neurons(activation)
    plan = _plan_of(given | parameters)
    if plan.backend == "gpu" and framework_of(plan).is_one_kernel(name, given, parameters):
        # bfloat16 is multiplied as it is; float16's squares might overflow
        layer = _Layer(plan._replace(compute="bfloat16") if plan.result == "bfloat16" else plan, **given)
        return Marginals(*(layer.result(x) for x in layer.by_kernel(name, parameters)))
    layer = _Layer(**given)
    with layer.arithmetic():
        found = layer.marginals(activation)
    return Marginals(*(layer.result(x) for x in found))


def _plan_of(arguments: dict[str, Any]) -> Plan:
    return plan_of({name: value for name, value in arguments.items() if value is not None})


class _Affine(NamedTuple):
    """Mean and covariance of A X + b, and A cov."""

    mean: Array
    cov: Array
    product: Array


class _Layer:
    """The arguments of one call as its framework's arrays, checked by name."""

    def __init__(self, plan: Plan | None = None, **arguments: Any) -> None:
        self.plan: Plan = plan or _plan_of(arguments)
        self.framework: ModuleType = framework_of(self.plan)
        self.given = self.framework.to_arrays(self.plan, arguments)
        for name, value in self.given.items():
            if name.endswith("var") and value is not None:
                self.framework.check_variances(name, value)
        self.mu = self.given["mu"]
        if "cov" in arguments:
            self.mu, cov = self.framework.vector_and_matrix(self.plan, arguments["mu"], arguments["cov"])
            self.cov = self.framework.symmetric(cov)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Where products are taken in the arrays' own dtype, whatever a framework does unasked."""
        context: AbstractContextManager[Any] = self.framework.arithmetic(self.plan)
        return context

    @property
    def xp(self) -> Any:
        return self.framework.xp

    def matrix(self, name: str, rows: int | None = None) -> Array:
        value, columns = self.given[name], self.mu.shape[-1]
        if value.ndim != 2 or value.shape[1] != columns or rows not in (None, value.shape[0]):
            raise ValueError(f"{name}: expected shape ({rows or 'm'}, {columns}), got {tuple(value.shape)}")
        return value

    def vector(self, name: str, length: int) -> Array:
        value = self.given[name]
        if tuple(value.shape) != (length,):
            raise ValueError(f"{name}: expected shape ({length},), got {tuple(value.shape)}")
        return value

    def affine(self, weight: str, bias: str, weight_var: str | None = None, bias_var: str | None = None) -> _Affine:
        matrix = self.matrix(weight)
        length = matrix.shape[0]
        mean = self.mu @ matrix.T
        if self.given[bias] is not None:
            mean = mean + self.vector(bias, length)
        product = matrix @ self.cov
        full = self.framework.symmetric_product(matrix, self.transposed(product))
        full = products.without_rounding(self.xp, full, self._rounding(matrix))
        own = 0.0
        if weight_var is not None and self.given[weight_var] is not None:
            squares = self.diagonal(self.cov) + self.mu * self.mu
            own = squares @ self.matrix(weight_var, length).T
        if bias_var is not None and self.given[bias_var] is not None:
            own = own + self.vector(bias_var, length)
        if not isinstance(own, float):
            full = full + self._on_diagonal(own)
        return _Affine(mean, full, product)

    def skip(self, product: Array, identity: bool) -> tuple[Array, Array, Array, Array]:
        """(C mu, A cov C^T, C cov C^T, C cov); the identity costs no product."""
        if identity:
            if product.shape[-2] != self.mu.shape[-1]:
                raise ValueError(f'C: "identity" needs a square A, got {tuple(product.shape[-2:])}')
            return self.mu, product, self.cov, self.cov
        matrix = self.matrix("C", product.shape[-2])
        across = matrix @ self.cov
        skipped = self.framework.symmetric_product(matrix, self.transposed(across))
        return self.mu @ matrix.T, product @ matrix.T, skipped, across

    def with_skip(self, full: Array, gains: Array, mixed: Array, skipped: Array) -> Array:
        """K + G A cov C^T + (G A cov C^T)^T + C cov C^T, in place of K where a kernel does it."""
        if self.plan.backend == "gpu" and self.framework.is_bare(full, gains, mixed, skipped):
            return self.framework.with_skip(full, gains[..., 0], mixed, skipped)
        half = gains * mixed
        return full + (half + self.transposed(half)) + skipped

    def by_kernel(self, activation: Any, parameters: dict[str, Array]) -> tuple[Array, Array]:
        """Mean and variance of W X + b or f of it, all in one kernel."""
        mu, var, weight, spread = self._factors()
        given = ((name, self.given[name]) for name in ("bias_mean", "bias_var"))
        biases = [None if bias is None else self.vector(name, len(weight)) for name, bias in given]
        by_kernel = self.framework.linear_marginals
        found: tuple[Array, Array] = by_kernel(activation, (mu, var), (weight, spread), biases, parameters)
        return found

    def _factors(self) -> tuple[Array, Array, Array, Array]:
        """Inputs' and weights' means and variances."""
        mu, var = self.mu, self.given["var"]
        if tuple(var.shape) != tuple(mu.shape):
            raise ValueError(f"var: expected mu's shape {tuple(mu.shape)}, got {tuple(var.shape)}")
        weight = self.matrix("weight_mean")
        return mu, var, weight, self.matrix("weight_var", weight.shape[0])

    def marginals(self, activation: Any) -> tuple[Array, Array]:
        """Mean and variance of W X + b or f of it; NumPy's rows in blocks, into arrays made beforehand."""
        mu, var, weight, spread = self._factors()
        maps = weight.T, (weight * weight + spread).T, spread.T
        if self.plan.framework != "numpy":
            return self._rows(mu, var, maps, activation)
        length, lead = weight.shape[0], mu.shape[:-1]
        mu, var = (x.reshape(-1, x.shape[-1]) for x in (mu, var))
        out = self.xp.empty((2, len(mu), length), self.plan.compute)
        for start in range(0, len(mu), ROWS):
            rows = slice(start, start + ROWS)
            out[0, rows], out[1, rows] = self._rows(mu[rows], var[rows], maps, activation)
        return out[0].reshape(*lead, length), out[1].reshape(*lead, length)

    def _rows(self, mu: Array, var: Array, maps: tuple[Array, ...], activation: Any) -> tuple[Array, Array]:
        of_mean, of_var, of_square = maps
        mean, out = mu @ of_mean, var @ of_var + (mu * mu) @ of_square
        if self.given["bias_mean"] is not None:
            mean = mean + self.vector("bias_mean", of_mean.shape[-1])
        if self.given["bias_var"] is not None:
            out = out + self.vector("bias_var", of_mean.shape[-1])
        return (mean, out) if activation is None else tuple(marginals(activation, mean, out))

    def diagonal(self, matrix: Array) -> Array:
        return self.xp.einsum("...ii->...i", matrix)

    def transposed(self, matrix: Array) -> Array:
        return self.xp.swapaxes(matrix, -1, -2)

    def _on_diagonal(self, vector: Array) -> Array:
        """Matrices with these diagonals."""
        i = self.framework.to_arrays(self.plan, {"i": np.arange(vector.shape[-1])})["i"]
        return self.xp.where(i[:, None] == i, vector[..., None], 0.0)

    def _rounding(self, matrix: Array) -> Array:
        """How far rounding may move entries of A cov A^T: n eps sum_i (sum_j |A_ij| sd_j)^2."""
        sd = products.root(self.xp, self.diagonal(self.cov))
        reach = sd @ self.xp.abs(matrix).T
        return matrix.shape[0] * float(self.xp.finfo(matrix.dtype).eps) * (reach * reach).sum(-1)

    def result(self, value: Array) -> Array:
        return self.framework.result(self.plan, value)

    def results(self, mean: Array, cov: Array, cross: Array | None) -> Moments | MomentsCross:
        found = Moments(self.result(mean), self.result(cov))
        return found if cross is None else MomentsCross(*found, self.result(cross))
