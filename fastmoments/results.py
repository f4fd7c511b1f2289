"""The named tuples that the public functions return, generic in the type of their arrays."""

import sys
import typing
from typing import TYPE_CHECKING, Any, Generic
from typing import NamedTuple as NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import TypeVar

    # the result for lists and numbers alone
    T = TypeVar("T", default=NDArray[Any])
else:
    T = typing.TypeVar("T")

C = typing.TypeVar("C", bound=type)

if sys.version_info < (3, 11):

    class _OnlyBase:
        """NamedTuple without Generic: before Python 3.11 it refuses a second base, which type checkers need."""

        def __mro_entries__(self, bases: tuple[Any, ...]) -> Any:
            return typing.NamedTuple.__mro_entries__((typing.NamedTuple,))

    NamedTuple = _OnlyBase()


def hinted(kind: C) -> C:
    """Decorate a result: the error for an attribute that it has not says where that is."""

    def absent(result: Any, name: str) -> Any:
        from fastmoments.hints import no_field

        raise no_field(result, name)

    kind.__getattr__ = absent  # type: ignore[attr-defined]
    return kind


@hinted
class Moments(NamedTuple, Generic[T]):
    """Mean (..., n) and covariance (..., n, n) of a random vector; unpacks as two."""

    mean: T
    cov: T


@hinted
class MomentsCross(NamedTuple, Generic[T]):
    """Mean (..., m), covariance (..., m, m) and cross-covariance (..., n, m) with the input; unpacks as three."""

    mean: T
    cov: T
    cross: T


@hinted
class MomentsBound(NamedTuple, Generic[T]):
    """Mean (..., n), covariance (..., n, n) and error bound (batch,) or (); unpacks as three."""

    mean: T
    cov: T
    bound: T


@hinted
class Marginals(NamedTuple, Generic[T]):
    """Mean and variance of each element, in the broadcast shape of the inputs; unpacks as two."""

    mean: T
    var: T


class CovPartials(NamedTuple, Generic[T]):
    """Derivatives of a pair's covariance along its five arguments, each in their broadcast shape."""

    d_mu_1: T
    d_mu_2: T
    d_var_1: T
    d_var_2: T
    d_cov_12: T


class Dual(NamedTuple, Generic[T]):
    """E f(X_1) f(X_2) and E f'(X_1) f'(X_2) of a pair without mean; unpacks as two."""

    value: T
    slope: T


class CdfPartials(NamedTuple, Generic[T]):
    """Derivatives of the bivariate normal distribution function along its arguments."""

    d_h: T
    d_k: T
    d_rho: T


class MomentsVjp(NamedTuple, Generic[T]):
    """Gradients with respect to mu (..., n) and cov (..., n, n)."""

    mu_bar: T
    cov_bar: T


class MomentsVjpParameters(NamedTuple, Generic[T]):
    """Gradients with respect to mu (..., n), cov (..., n, n) and, by name, an activation's parameters.

    The parameters' gradients are (..., n), each neuron's, and (..., n, K) for a mixture. The gradient of a
    parameter that neurons share is their sum.
    """

    mu_bar: T
    cov_bar: T
    parameters_bar: dict[str, T]
