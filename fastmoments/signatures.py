"""Types of arrays: users' arguments, whose type decides the result's, and the arrays that layers compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fastmoments.results import T

if TYPE_CHECKING:
    from typing_extensions import Self

T_co = TypeVar("T_co", covariant=True)


class ArrayOf(Protocol[T_co]):
    """An array whose results have type T_co, the type of its negative: Tensor for a torch Parameter.

    Lists and tuples have no negative, and Python's numbers no dtype: they are not matched.
    """

    @property
    def dtype(self) -> Any:
        """The element type."""

    def __neg__(self) -> T_co: ...


class Distribution(Protocol):
    """A normal distribution of PyTorch or NumPyro; those of SciPy have no types."""

    @property
    def mean(self) -> Any:
        """The mean."""

    @property
    def variance(self) -> Any:
        """The variances."""


Numbers = float | list[Any] | tuple[Any, ...]
Operand = ArrayOf[T] | Numbers


class Array(Protocol):
    """An array of NumPy, PyTorch, JAX or Dask: the attributes and operators that layers use."""

    @property
    def dtype(self) -> Any:
        """The element type."""

    @property
    def ndim(self) -> int:
        """The number of dimensions."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""

    @property
    def T(self) -> Self:  # noqa: N802
        """The transpose of a matrix."""

    def sum(self, axis: Any, /) -> Self:
        """Sum along a dimension."""

    def swapaxes(self, one: Any, other: Any, /) -> Self:
        """Exchange two dimensions."""

    def __neg__(self) -> Self: ...
    def __getitem__(self, key: Any, /) -> Self: ...
    def __add__(self, other: Any, /) -> Self: ...
    def __radd__(self, other: Any, /) -> Self: ...
    def __sub__(self, other: Any, /) -> Self: ...
    def __mul__(self, other: Any, /) -> Self: ...
    def __rmul__(self, other: Any, /) -> Self: ...
    def __matmul__(self, other: Any, /) -> Self: ...
    def __eq__(self, other: Any, /) -> Any: ...
    def __ne__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...


class Buffer(Array, Protocol):
    """An array of NumPy or PyTorch, whose elements can be written."""

    @property
    def mT(self) -> Self:  # noqa: N802
        """The matrices transposed."""

    def __setitem__(self, key: Any, value: Any, /) -> None: ...


A = TypeVar("A", bound=Array)
B = TypeVar("B", bound=Buffer)
