"""Array libraries: one module each, which takes their arrays into and out of the kernels.

`Framework` says what such a module supplies, `framework_of` which of them serves a plan. Each is imported when its
library's arrays first come: nobody pays for, or needs, a library that is not used.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fastmoments.dispatch import Named, Plan
from fastmoments.results import Moments

Array = Any  # of whichever library


class Framework(Protocol):
    """What a module of this folder supplies, for its own arrays.

    Arguments come by name, as the user gave them, so that errors can name them. `plan` says in which dtype they are
    computed and returned. An activation is a catalogue name or a Custom.
    """

    xp: Any  # the functions that layers are written in: swapaxes, einsum, where, abs, sqrt, finfo, stack ...

    def elementwise(
        self, plan: Plan, activation: Any, name: str, arguments: Named, given: Named
    ) -> Array | tuple[Array, ...]:
        """Evaluate the function `name` of an activation, or of the bivariate normal if that is None.

        `given` are the options of NumPy's ufuncs that the user gave: out, where, dtype.
        """

    def moments(
        self, plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool
    ) -> Moments[Any]:
        """Mean and covariance of f(X) for mu (..., n) and cov (..., n, n)."""

    def moments_vjp(
        self, plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
    ) -> tuple[Array, ...]:
        """Gradients along mu and cov and, if asked for, each neuron's parameters, for mean_bar and cov_bar."""

    def to_arrays(self, plan: Plan, arguments: Named) -> dict[str, Array]:
        """Arrays of the arguments in the dtype of the computation; None stays None."""

    def vector_and_matrix(self, plan: Plan, mu: Any, cov: Any) -> tuple[Array, Array]:
        """Mu (..., n) and cov (..., n, n) with one batch shape, variances checked."""

    def check_variances(self, name: str, var: Array, what: str = "it") -> None:
        """Raise for a negative variance, if values can be looked at without waiting."""

    def symmetric(self, cov: Array) -> Array:
        """The symmetric matrix of cov's upper triangle."""

    def symmetric_product(self, left: Array, right: Array, rounding: Callable[[], Array]) -> Array:
        """Left (m, n) times right (..., n, m), which is a covariance but for an error of `rounding()`."""

    def plus_diagonal(self, full: Array, vector: Array) -> Array:
        """Full (..., n, n), which may be overwritten, with vector (..., n) added to its diagonal."""

    def with_skip(self, full: Array, gains: Array, product: Array, across: Array, matrix: Array | None) -> Array:
        """Full, which may be overwritten, plus H + H^T, H = (G product + across / 2) matrix^T; gains (..., n)."""

    def linear_kernel(
        self, plan: Plan, activation: str | Any, arguments: Named, parameters: Named
    ) -> Callable[..., tuple[Array, Array]] | None:
        """One kernel for a layer of Gaussian weights and the activation behind it; None where there is none.

        (activation, (mu, var), (weight_mean, weight_var), (bias_mean, bias_var), parameters) -> (mean, var) of
        f(W X + b), of arrays that `to_arrays` made.
        """

    def arithmetic(self, plan: Plan) -> AbstractContextManager[Any]:
        """A context in which products are taken in the arrays' own dtype."""

    def result(self, plan: Plan, value: Array) -> Array:
        """The value in the dtype that is returned."""


def framework_of(plan: Plan) -> Framework:
    """The module that takes this plan's arrays in and out."""
    # import statements, because torch.compile traces through them and not through importlib
    if plan.framework == "torch":
        from fastmoments.frameworks import torch

        return torch
    if plan.framework == "jax":
        from fastmoments.frameworks import jax

        return jax
    if plan.framework == "dask":
        from fastmoments.frameworks import dask

        return dask
    if plan.framework == "numpy":
        from fastmoments.frameworks import numpy

        return numpy
    from fastmoments.frameworks import dlpack

    return dlpack
