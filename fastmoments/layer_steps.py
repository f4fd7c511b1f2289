"""The steps that layers are made of, on the arguments of one call as its framework's arrays.

They are written once, in the functions that NumPy, PyTorch, JAX and Dask share.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from fastmoments.dispatch import Named, Plan, plan_of
from fastmoments.elementwise import marginals
from fastmoments.frameworks import Framework, framework_of, products
from fastmoments.results import Moments, MomentsCross
from fastmoments.signatures import Array


def plan_of_given(arguments: Named) -> Plan:
    """Return the plan of the arguments that are not None."""
    return plan_of(_without_none(arguments))


def _without_none(arguments: Named) -> Named:
    return {name: value for name, value in arguments.items() if value is not None}


class Weights(NamedTuple):
    """A, and A cov if that was needed."""

    matrix: Array
    product: Array | None


class AffineMoments(NamedTuple):
    """Mean and covariance of A X + b, and A."""

    mean: Array
    cov: Array
    weights: Weights


class LayerCall:
    """One call of a layer: its plan, and its arguments that are not None as checked arrays of its framework."""

    def __init__(self, plan: Plan | None = None, unchecked: tuple[str, ...] = (), **arguments: Any) -> None:
        """`unchecked` names variances that a kernel checks as it reads them."""
        self.plan: Plan = plan or plan_of_given(arguments)
        self.framework: Framework[Array] = framework_of(self.plan)
        self.arrays = self.framework.to_arrays(self.plan, _without_none(arguments))
        for name, value in self.arrays.items():
            if name.endswith("var") and name not in unchecked:
                self.framework.check_variances(name, value)
        self.mu = self.arrays["mu"]
        if "cov" in arguments:
            given = arguments["mu"], arguments["cov"]
            self.mu, self.given_cov = self.framework.vector_and_matrix(self.plan, *given)
            self._cov: Array | None = None

    @property
    def cov(self) -> Array:
        """The covariance, symmetric; what is given may differ below its diagonal."""
        # no cached_property, which torch.compile cannot trace
        if self._cov is None:
            self._cov = self.framework.symmetric(self.given_cov)
        return self._cov

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Return a context in which the framework multiplies in the arrays' own dtype."""
        return self.framework.arithmetic(self.plan)

    @property
    def xp(self) -> Any:
        """The functions of the framework's library."""
        return self.framework.xp

    def matrix(self, name: str, rows: int | None = None) -> Array:
        """Return the argument `name`, a matrix that multiplies mu; raise unless it has that many rows."""
        value, columns = self.arrays[name], self.mu.shape[-1]
        if value.ndim != 2 or value.shape[1] != columns or rows not in (None, value.shape[0]):
            raise ValueError(f"{name}: expected shape ({rows or 'm'}, {columns}), got {tuple(value.shape)}")
        return value

    def vector(self, name: str, length: int) -> Array:
        """Return the argument `name`; raise unless it is a vector of that length."""
        value = self.arrays[name]
        if tuple(value.shape) != (length,):
            raise ValueError(f"{name}: expected shape ({length},), got {tuple(value.shape)}")
        return value

    def affine(
        self, weight: str, bias: str, weight_var: str | None = None, bias_var: str | None = None
    ) -> AffineMoments:
        """Compute the moments of A X + b; the strings name the arguments that hold A, b and their variances."""
        matrix = self.matrix(weight)
        length = matrix.shape[0]
        mean = self.mu @ matrix.T
        if bias in self.arrays:
            mean = mean + self.vector(bias, length)
        product, full = None, self.framework.congruence(matrix, self.given_cov)
        if full is None:
            product = matrix @ self.cov
            full = self._covariance(matrix, product)
        added: Array | None = None
        if weight_var in self.arrays:
            squares = self.diagonal(self.given_cov) + self.mu * self.mu
            added = squares @ self.matrix(weight_var, length).T
        if bias_var in self.arrays:
            added = self.vector(bias_var, length) if added is None else added + self.vector(bias_var, length)
        if added is not None:
            full = self.framework.plus_diagonal(full, added)
        return AffineMoments(mean, full, Weights(matrix, product))

    def product(self, weights: Weights) -> Array:
        """Return A cov."""
        return weights.matrix @ self.cov if weights.product is None else weights.product

    def skipped(self, rows: int, identity: bool) -> tuple[Array, Array | None]:
        """Return (C mu, C) for C of that many rows; None stands for the identity, which needs no product."""
        if identity:
            if rows != self.mu.shape[-1]:
                raise ValueError(f'C: "identity" needs a square A, got {(rows, self.mu.shape[-1])}')
            return self.mu, None
        matrix = self.matrix("C", rows)
        return self.mu @ matrix.T, matrix

    def with_skip(self, full: Array, gains: Array, weights: Weights, matrix: Array | None) -> Array:
        """Return the covariance of f(A X + b) + C X, given that of f(A X + b), for C of `skipped`."""
        if weights.product is None:
            eye = self.xp.eye(self.mu.shape[-1], dtype=self.mu.dtype) if matrix is None else matrix
            found = self.framework.congruence(weights.matrix, self.given_cov, gains, eye, full)
            if found is not None:
                return found
        return self.framework.with_skip(full, gains, self.product(weights), self.across(matrix), matrix)

    def across(self, matrix: Array | None) -> Array:
        """Return C cov for C of `skipped`."""
        return self.cov if matrix is None else matrix @ self.cov

    def by_kernel(self, kernel: Callable[..., Any], activation: Any, parameters: Named) -> tuple[Array, Array]:
        """Compute mean and variance of f(W X + b) by one kernel; without an activation, of W X + b."""
        mu, var, weight, weight_var = self._factors()
        names = ("bias_mean", "bias_var")
        biases = [self.vector(name, weight.shape[0]) if name in self.arrays else None for name in names]
        result: tuple[Array, Array] = kernel(activation, (mu, var), (weight, weight_var), biases, parameters)
        return result

    def _factors(self) -> tuple[Array, Array, Array, Array]:
        """Return the means and variances of inputs and weights."""
        mu, var = self.mu, self.arrays["var"]
        if tuple(var.shape) != tuple(mu.shape):
            raise ValueError(f"var: expected mu's shape {tuple(mu.shape)}, got {tuple(var.shape)}")
        weight = self.matrix("weight_mean")
        return mu, var, weight, self.matrix("weight_var", weight.shape[0])

    def marginals(self, activation: Any) -> tuple[Array, Array]:
        """Compute mean and variance of f(W X + b); without an activation, of W X + b."""
        mu, var, weight, weight_var = self._factors()
        mean, var_out = mu @ weight.T, var @ (weight * weight + weight_var).T + (mu * mu) @ weight_var.T
        if "bias_mean" in self.arrays:
            mean = mean + self.vector("bias_mean", weight.shape[0])
        if "bias_var" in self.arrays:
            var_out = var_out + self.vector("bias_var", weight.shape[0])
        if activation is None:
            return mean, var_out
        result = marginals(activation, mean, var_out)
        return result.mean, result.var

    def diagonal(self, matrix: Array) -> Array:
        """Return the diagonals (..., n) of matrices (..., n, n)."""
        diagonal: Array = self.xp.einsum("...ii->...i", matrix)
        return diagonal

    def transposed(self, matrix: Array) -> Array:
        """Return the transposes (..., n, m) of matrices (..., m, n)."""
        return matrix.swapaxes(-1, -2)

    def _covariance(self, matrix: Array, product: Array) -> Array:
        """Return A cov A^T, given A and A cov."""
        right, rounding = self.transposed(product), partial(self._rounding, matrix)
        return self.framework.symmetric_product(matrix, right, rounding)

    def _rounding(self, matrix: Array) -> Array:
        """Return a bound on the rounding error of A cov A^T: n eps sum_i (sum_j |A_ij| sd_j)^2."""
        sd = products.root(self.xp, self.diagonal(self.given_cov))
        reach: Array = sd @ self.xp.abs(matrix).T
        bound: Array = matrix.shape[0] * float(self.xp.finfo(matrix.dtype).eps) * (reach * reach).sum(-1)
        return bound

    def result(self, value: Array) -> Any:
        """Return the value as an array of the user's library in the result's dtype."""
        return self.framework.result(self.plan, value)

    def results(self, mean: Array, cov: Array, cross: Array | None) -> Moments[Any] | MomentsCross[Any]:
        """Return the layer's result, with the covariance with the input if `cross` is given."""
        moments = self.result(mean), self.result(cov)
        return Moments(*moments) if cross is None else MomentsCross(*moments, self.result(cross))
