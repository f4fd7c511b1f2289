"""The steps that layers are made of, on one call's arguments as the arrays of their framework.

Written once in the words NumPy, PyTorch and JAX share; `frameworks` brings their arrays in and out.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from fastmoments.dispatch import Named, Plan, plan_of
from fastmoments.frameworks import Framework, framework_of, products
from fastmoments.moments import marginals
from fastmoments.results import Moments, MomentsCross

Array = Any


def plan_of_given(arguments: Named) -> Plan:
    """The plan of those arguments that are given."""
    return plan_of({name: value for name, value in arguments.items() if value is not None})


class Affine(NamedTuple):
    """Mean and covariance of A X + b, and A cov."""

    mean: Array
    cov: Array
    product: Array


class Layer:
    """The arguments of one call as its framework's arrays, checked by name."""

    def __init__(self, plan: Plan | None = None, judged: tuple[str, ...] = (), **arguments: Any) -> None:
        """`judged` are variances that a kernel judges as it reads them."""
        self.plan: Plan = plan or plan_of_given(arguments)
        self.framework: Framework = framework_of(self.plan)
        self.given = self.framework.to_arrays(self.plan, arguments)
        for name, value in self.given.items():
            if name.endswith("var") and name not in judged and value is not None:
                self.framework.check_variances(name, value)
        self.mu = self.given["mu"]
        if "cov" in arguments:
            self.mu, cov = self.framework.vector_and_matrix(self.plan, arguments["mu"], arguments["cov"])
            self.cov = self.framework.symmetric(cov)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Where products are taken in the arrays' own dtype, whatever a framework does unasked."""
        return self.framework.arithmetic(self.plan)

    @property
    def xp(self) -> Any:
        """The framework's functions."""
        return self.framework.xp

    def matrix(self, name: str, rows: int | None = None) -> Array:
        """The argument `name`, a matrix on mu, of so many rows if that is known."""
        value, columns = self.given[name], self.mu.shape[-1]
        if value.ndim != 2 or value.shape[1] != columns or rows not in (None, value.shape[0]):
            raise ValueError(f"{name}: expected shape ({rows or 'm'}, {columns}), got {tuple(value.shape)}")
        return value

    def vector(self, name: str, length: int) -> Array:
        """The argument `name`, of that length."""
        value = self.given[name]
        if tuple(value.shape) != (length,):
            raise ValueError(f"{name}: expected shape ({length},), got {tuple(value.shape)}")
        return value

    def affine(self, weight: str, bias: str, weight_var: str | None = None, bias_var: str | None = None) -> Affine:
        """A X + b for the arguments of these names."""
        matrix = self.matrix(weight)
        length = matrix.shape[0]
        mean = self.mu @ matrix.T
        if self.given[bias] is not None:
            mean = mean + self.vector(bias, length)
        product = matrix @ self.cov
        full = self._covariance(matrix, product)
        own = 0.0
        if weight_var is not None and self.given[weight_var] is not None:
            squares = self.diagonal(self.cov) + self.mu * self.mu
            own = squares @ self.matrix(weight_var, length).T
        if bias_var is not None and self.given[bias_var] is not None:
            own = own + self.vector(bias_var, length)
        if not isinstance(own, float):
            full = self.framework.plus_diagonal(full, own)
        return Affine(mean, full, product)

    def skip(self, rows: int, identity: bool) -> tuple[Array, Array, Array | None]:
        """(C mu, C cov, C), C of so many rows and None for the identity, which costs no product."""
        if identity:
            if rows != self.mu.shape[-1]:
                raise ValueError(f'C: "identity" needs a square A, got {(rows, self.mu.shape[-1])}')
            return self.mu, self.cov, None
        matrix = self.matrix("C", rows)
        return self.mu @ matrix.T, matrix @ self.cov, matrix

    def by_kernel(self, kernel: Callable[..., Any], activation: Any, parameters: Named) -> tuple[Array, Array]:
        """Mean and variance of W X + b or f of it, all in one kernel."""
        mu, var, weight, spread = self._factors()
        given = ((name, self.given[name]) for name in ("bias_mean", "bias_var"))
        biases = [None if bias is None else self.vector(name, len(weight)) for name, bias in given]
        found: tuple[Array, Array] = kernel(activation, (mu, var), (weight, spread), biases, parameters)
        return found

    def _factors(self) -> tuple[Array, Array, Array, Array]:
        """Inputs' and weights' means and variances."""
        mu, var = self.mu, self.given["var"]
        if tuple(var.shape) != tuple(mu.shape):
            raise ValueError(f"var: expected mu's shape {tuple(mu.shape)}, got {tuple(var.shape)}")
        weight = self.matrix("weight_mean")
        return mu, var, weight, self.matrix("weight_var", weight.shape[0])

    def marginals(self, activation: Any) -> tuple[Array, Array]:
        """Mean and variance of W X + b or f of it."""
        mu, var, weight, spread = self._factors()
        mean, out = mu @ weight.T, var @ (weight * weight + spread).T + (mu * mu) @ spread.T
        if self.given["bias_mean"] is not None:
            mean = mean + self.vector("bias_mean", len(weight))
        if self.given["bias_var"] is not None:
            out = out + self.vector("bias_var", len(weight))
        return (mean, out) if activation is None else tuple(marginals(activation, mean, out))

    def diagonal(self, matrix: Array) -> Array:
        """(..., n, n) -> (..., n)."""
        return self.xp.einsum("...ii->...i", matrix)

    def transposed(self, matrix: Array) -> Array:
        """(..., m, n) -> (..., n, m)."""
        return self.xp.swapaxes(matrix, -1, -2)

    def _covariance(self, matrix: Array, product: Array) -> Array:
        """A cov A^T of A and A cov."""
        right, rounding = self.transposed(product), partial(self._rounding, matrix)
        return self.framework.symmetric_product(matrix, right, rounding)

    def _rounding(self, matrix: Array) -> Array:
        """How far rounding may move entries of A cov A^T: n eps sum_i (sum_j |A_ij| sd_j)^2."""
        sd = products.root(self.xp, self.diagonal(self.cov))
        reach = sd @ self.xp.abs(matrix).T
        return matrix.shape[0] * float(self.xp.finfo(matrix.dtype).eps) * (reach * reach).sum(-1)

    def result(self, value: Array) -> Array:
        """The value in the dtype that is returned."""
        return self.framework.result(self.plan, value)

    def results(self, mean: Array, cov: Array, cross: Array | None) -> Moments | MomentsCross:
        """What a layer returns."""
        found = Moments(self.result(mean), self.result(cov))
        return found if cross is None else MomentsCross(*found, self.result(cross))
