"""Types of the public functions: the array type that goes in is the one that comes out."""

from typing import Any, Literal, Protocol, TypeVar, overload

from fastmoments.results import CovPartials, Marginals, Moments, MomentsVjp, MomentsVjpParameters, T

T_co = TypeVar("T_co", covariant=True)


class ArrayOf(Protocol[T_co]):
    """An array, known by what its negative is: of torch's Parameter that is a Tensor, of a list there is none."""

    @property
    def dtype(self) -> Any:
        """Its element type, which numbers do not have."""

    def __neg__(self) -> T_co: ...


Numbers = float | list[Any] | tuple[Any, ...]
Operand = ArrayOf[T] | Numbers


class MomentsFunction(Protocol):
    """relu_moments and its like; an activation's own parameters are keywords."""

    def __call__(
        self,
        mu: Operand[T],
        cov: Operand[T],
        *,
        out: Any = None,
        check: bool = False,
        precision: str | None = None,
        **parameters: Any,
    ) -> Moments[T]:
        """Mean and covariance."""


class MomentsVjpFunction(Protocol):
    """relu_moments_vjp and its like."""

    @overload
    def __call__(
        self,
        mu: Operand[T],
        cov: Operand[T],
        mean_bar: Operand[T],
        cov_bar: Operand[T],
        *,
        return_parameters: Literal[False] = False,
        precision: str | None = None,
        **parameters: Any,
    ) -> MomentsVjp[T]: ...
    @overload
    def __call__(
        self,
        mu: Operand[T],
        cov: Operand[T],
        mean_bar: Operand[T],
        cov_bar: Operand[T],
        *,
        return_parameters: Literal[True],
        precision: str | None = None,
        **parameters: Any,
    ) -> MomentsVjpParameters[T]: ...


class MarginalsFunction(Protocol):
    """relu_marginals and its like."""

    def __call__(
        self,
        mu: Operand[T],
        var: Operand[T],
        *,
        out: Any = None,
        where: Any = True,
        dtype: Any = None,
        precision: str | None = None,
        **parameters: Any,
    ) -> Marginals[T]:
        """Mean and variance."""


class NeuronFunction(Protocol):
    """relu_mean, relu_var, relu_gain and their like."""

    def __call__(
        self,
        mu: Operand[T],
        var: Operand[T],
        *,
        out: Any = None,
        where: Any = True,
        dtype: Any = None,
        precision: str | None = None,
        **parameters: Any,
    ) -> T:
        """One array."""


class CovFunction(Protocol):
    """relu_cov and its like."""

    def __call__(
        self,
        mu_1: Operand[T],
        mu_2: Operand[T],
        var_1: Operand[T],
        var_2: Operand[T],
        cov_12: Operand[T],
        *,
        out: Any = None,
        where: Any = True,
        dtype: Any = None,
        precision: str | None = None,
        **parameters: Any,
    ) -> T:
        """One array."""


class CovPartialsFunction(Protocol):
    """relu_cov_partials and its like."""

    def __call__(
        self,
        mu_1: Operand[T],
        mu_2: Operand[T],
        var_1: Operand[T],
        var_2: Operand[T],
        cov_12: Operand[T],
        *,
        out: Any = None,
        where: Any = True,
        dtype: Any = None,
        precision: str | None = None,
        **parameters: Any,
    ) -> CovPartials[T]:
        """Five arrays."""
