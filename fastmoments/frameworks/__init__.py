"""Array libraries: one module each, which takes their arrays into the kernels and out of them.

A call passes through in three steps:

1. A public function of `moments.py`, `elementwise.py`, `normal.py` or `layers.py` gives `dispatch.plan_of` its
   arguments. The plan says which framework, device, kernels and dtype they ask for.
2. `framework_of(plan)` returns the framework's module. Its `elementwise`, `moments` or `moments_vjp` checks shapes
   and values, converts the arguments to arrays of the computation's dtype and calls the kernels. Layers call
   more of its functions: `Framework` lists all.
3. The module converts the kernels' results to the arguments' library and dtype.

`numpy`, `jax` and `dask` each serve one library. `torch` computes the values of CPU tensors by `numpy` on the same
memory. It needs a form of its own for all else: `torch_kernels` for values on any device, `torch_rules` for
derivatives, `torch_ops` for torch.compile, `torch_formulas` for torch operations where there are no kernels and for
second derivatives, `torch_layers` for layers in one kernel. `dlpack` lends CUDA arrays of other libraries, such as
CuPy, to `torch`. All share `shapes` (checks), `options` (those of NumPy's ufuncs) and `products` (of matrices).

A module is imported when its library's arrays first come: users need and wait for no other library.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy.typing import NDArray

from fastmoments.dispatch import Named, Plan
from fastmoments.results import Moments
from fastmoments.signatures import A


class Framework(Protocol[A]):
    """A module of this folder supplies these functions for its library's arrays, of type A.

    Arguments come by name, as the user gave them, so that errors can name them. `plan` says in which dtype to
    compute and which to return. An activation is a name of the catalogue or a Custom.
    """

    xp: Any  # the library's functions that layers call: swapaxes, einsum, where, abs, sqrt, finfo, stack ...

    def elementwise(
        self, plan: Plan, activation: Any, name: str, arguments: Named, given: Named
    ) -> A | tuple[A, ...]:
        """Call the function `name` of an activation; None stands for the bivariate normal.

        `given` are the options of NumPy's ufuncs that the user gave: out, where, dtype.
        """

    def moments(
        self, plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool
    ) -> Moments[A]:
        """Compute the mean and covariance of f(X) for mu (..., n) and cov (..., n, n)."""

    def moments_vjp(
        self, plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
    ) -> tuple[A, ...]:
        """Compute the gradients along mu, cov and, with `along_parameters`, each neuron's parameters.

        `bars` are the gradients along the results: mean_bar (..., n) and cov_bar (..., n, n).
        """

    def to_arrays(self, plan: Plan, arguments: Named) -> dict[str, A]:
        """Return the arguments as arrays in the dtype of the computation."""

    def with_partials(
        self,
        function: Callable[..., Any],
        partials: Callable[..., Any],
        arrays: tuple[A, ...],
        beside: tuple[A, ...] = (),
    ) -> Any:
        """Compute function(*arrays, *beside), element by element, with partials(*arrays, *beside) along each array.

        A function of several values has a tuple of such tuples, one per value. `beside` are arrays of other shapes,
        such as the vectors that matrices are made of, from which functions may compute what they need. There are no
        derivatives of the function along them; partials are differentiated along them as along all else.
        """

    def values(self, plan: Plan, arrays: dict[str, A]) -> dict[str, NDArray[Any]] | None:
        """Return `to_arrays`' arrays as NumPy arrays on their memory.

        None if they are traced, lazy, on another device, or if a derivative is asked for.
        """

    def vector_and_matrix(self, plan: Plan, mu: Any, cov: Any) -> tuple[A, A]:
        """Return mu (..., n) and cov (..., n, n) as arrays with one batch shape; check the variances."""

    def check_variances(self, name: str, var: A, what: str = "it", remedy: str = ...) -> None:
        """Raise for a negative variance, if values can be read without waiting for a device."""

    def check_covariance(self, cov: A) -> None:
        """Raise, with the worst pair, unless cov is symmetric and positive semidefinite, or if it has no values."""

    def may_be_covariance(self, matrix: A) -> bool:
        """Whether a matrix looks like a covariance, by its values where they can be read."""

    def symmetric(self, cov: A) -> A:
        """Return the symmetric matrix of cov's upper triangle."""

    def symmetric_product(self, left: A, right: A, rounding: Callable[[], A]) -> A:
        """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`."""

    def plus_diagonal(self, full: A, vector: A) -> A:
        """Add vector (..., n) to the diagonal of full (..., n, n), which may be overwritten."""

    def with_skip(self, full: A, gains: A, product: A, across: A, matrix: A | None) -> A:
        """Return full + H + H^T, where H = (G product + across / 2) matrix^T and G = diag(gains).

        `full` may be overwritten; without a matrix it is the identity.
        """

    def congruence(
        self,
        left: A,
        cov: A,
        gains: A | None = None,
        right: A | None = None,
        full: A | None = None,
        rounding: Callable[[], A] | None = None,
    ) -> A | None:
        """Return left (m, n) cov left^T, a covariance without errors of rounding, by one kernel for few neurons.

        With gains G = diag(gains), right (m, n) and full it is full + H + H^T for H = (G left cov + right cov / 2)
        right^T, in place of full, without errors of up to `rounding()` if that is given. `cov` (..., n, n) is read
        in its upper triangle. None where there is no kernel.
        """

    def linear_kernel(
        self, plan: Plan, activation: str | Any, arguments: Named, parameters: Named
    ) -> Callable[..., tuple[A, A]] | None:
        """Return the kernel for a layer of Gaussian weights and its activation, or None if there is none.

        It takes (activation, (mu, var), (weight_mean, weight_var), (bias_mean, bias_var), parameters), arrays of
        `to_arrays`, and returns mean and variance of f(W X + b).
        """

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of arrays, or one that runs it as a whole, compiled once for all its equals."""

    def arithmetic(self, plan: Plan) -> AbstractContextManager[Any]:
        """Return a context in which the library multiplies in the arrays' own dtype."""

    def result(self, plan: Plan, value: A) -> A:
        """Return the value in the result's dtype."""


class Words(Framework[A], Protocol[A]):
    """The modules `numpy`, `torch` and `jax` supply these functions too, for networks and composed activations."""

    def checked_covariance(self, cov: A, eps: float, name: str = "cov") -> A:
        """Return the symmetric matrix of cov's upper triangle, with a symmetric gradient in PyTorch.

        Entries are known to eps. Raise by the name, where values are known, unless cov is symmetric to rounding.
        """

    def covariance(self, full: A, rounding: Callable[[], A]) -> A:
        """Return the mean of both triangles, a covariance, without errors of up to `rounding()`.

        `full` may be overwritten.
        """

    def constant(self, array: NDArray[Any], like: A) -> A:
        """Return an array of constants in the dtype of `like`, on its device."""

    def function_of(self, activation: str | Any, like: A) -> Callable[..., A]:
        """Return f(x, *parameters) of a catalogue's activation or a Custom, on arrays of the dtype of `like`."""

    def largest(self, x: A) -> float | None:
        """Return the largest number in an array, 0 if there is none; None where values cannot be read."""

    def single(self, x: A) -> A:
        """Return the array in float32, row by row in memory."""

    def is_definite(self, full: A) -> bool | None:
        """Whether symmetric matrices (..., n, n) are all positive definite; None where values cannot be read."""

    def series(self, rho: A, factors: Sequence[tuple[A, A]]) -> tuple[A, ...]:
        """Return sum over n = 1 ... N of rho^n a_n b_n, for each (a, b) of the factors, (N, ...) that broadcast."""

    def replaced(self, where: A, function: Callable[..., Any], arrays: tuple[A, ...], values: Any) -> Any:
        """Return the values with function(*arrays) in their place where a condition (...) holds.

        Values, one or a tuple, and what the function returns may have leading dimensions beside those of the
        condition and the arrays. The function sees the elements where the condition holds, in one dimension, or all
        of them where values cannot be read.
        """

    def iterated(self, step: Callable[..., Any], state: Any, rows: NDArray[Any], like: A) -> A:
        """Return the results of step(state, *row) -> (state, result) for every row (r, c), along a new axis.

        The rows' numbers have the dtype of `like`.
        """

    def summed(self, function: Callable[..., tuple[A, ...]], rows: NDArray[Any], like: A) -> tuple[A, ...]:
        """Return the sum over rows (r, c) of function(*columns): c numbers beside arrays like `like`.

        Rows come one by one or several at once, along a leading dimension of the columns and the results.
        """

    def plus(self, full: A, other: A, factor: Any) -> A:
        """Return full + factor * other; `full` may be overwritten."""

    def eye(self, n: int, like: A) -> A:
        """Return the identity matrix (n, n) of the array's dtype, on its device."""

    def detached(self, x: A) -> A:
        """Return the array without derivatives."""

    def ndtri(self, u: A) -> A:
        """Return the quantiles of N(0, 1) at probabilities u in (0, 1), in their dtype."""


def words_of(plan: Plan) -> Words[Any]:
    """Return the module for networks of the plan's arrays."""
    if plan.framework not in ("numpy", "torch", "jax"):
        raise TypeError(f"mu: there are no networks of {plan.framework} arrays; use those of PyTorch, JAX or NumPy")
    words: Words[Any] = framework_of(plan)  # type: ignore[assignment]
    return words


def framework_of(plan: Plan) -> Framework[Any]:
    """Return the module for the plan's arrays."""
    found = _imported.get(plan.framework)
    if found is None:
        found = _imported[plan.framework] = _import(plan.framework)
    return found


# an import statement takes half a microsecond, even where there is nothing left to import
_imported: dict[str, Framework[Any]] = {}


def _import(framework: str) -> Any:
    # import statements, because torch.compile traces through them and not through importlib
    if framework == "torch":
        from fastmoments.frameworks import torch

        return torch
    if framework == "jax":
        from fastmoments.frameworks import jax

        return jax
    if framework == "dask":
        from fastmoments.frameworks import dask

        return dask
    if framework == "numpy":
        from fastmoments.frameworks import numpy

        return numpy
    from fastmoments.frameworks import dlpack

    return dlpack
