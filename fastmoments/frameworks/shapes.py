"""Checks of shapes, with one error text for all array libraries."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, TypeVar

from fastmoments.signatures import A
from fastmoments_kernels.cautions import warn

R = TypeVar("R")
Shape = tuple[int, ...]


def broadcast(shapes: dict[str, Shape]) -> Shape:
    """Return the shape that arguments broadcast to; `shapes` has theirs by name."""
    sizes = []
    for column in zip_longest(*(reversed(shape) for shape in shapes.values()), fillvalue=1):
        wide = [size for size in column if size != 1]
        if any(size != wide[0] for size in wide):
            shown = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
            raise ValueError(f"expected shapes that broadcast together, got {shown}")
        sizes.append(wide[0] if wide else 1)
    return tuple(reversed(sizes))


def agreed(arrays: dict[str, A]) -> Shape:
    """Return the shape that arrays broadcast to; raise if there is none."""
    first, *others = arrays.values()
    shape = first.shape
    for other in others:
        if other.shape != shape:
            return broadcast({name: array.shape for name, array in arrays.items()})
    return tuple(shape)


def doubt(activation: Any, arguments: dict[str, A], may_be: Callable[[A], bool]) -> None:
    """Warn if `var` may be a covariance matrix: it broadcasts with mu, but few users mean that."""
    mu, var = arguments.get("mu"), arguments.get("var")
    if mu is None or var is None or not 0 < mu.ndim == var.ndim - 1 or mu.shape[-1] < 2:
        return
    if tuple(var.shape) == (*mu.shape, mu.shape[-1]) and may_be(var):
        call = f"{activation}_moments(mu, cov)" if isinstance(activation, str) else "moments(activation, mu, cov)"
        warn(
            f"var: {tuple(var.shape)}, symmetric, beside mu {tuple(mu.shape)} looks like a covariance matrix, "
            f"which {call} takes; here all its entries are variances. If that is meant, pass mu[..., None, :]",
            UserWarning,
        )


def batch_of(mu: Shape, cov: Shape) -> Shape:
    """Return the shape that the leading dimensions of mu (..., n) and cov (..., n, n) broadcast to."""
    if not mu:
        raise ValueError("mu: expected shape (..., n), got a scalar")
    n = mu[-1]
    if cov[-2:] != (n, n):
        raise ValueError(f"cov: expected shape (..., {n}, {n}) for mu of shape {tuple(mu)}, got {tuple(cov)}")
    if mu == cov[:-1]:
        return tuple(mu[:-1])
    try:
        return broadcast({"mu": mu[:-1], "cov": cov[:-2]})
    except ValueError:
        leading = f"{tuple(cov[:-2])} do not broadcast with mu's {tuple(mu[:-1])}"
        raise ValueError(f"cov: leading dimensions {leading}") from None


def check_parameters(parameters: dict[str, A], mu: Shape) -> None:
    """Raise unless every parameter of the activation is a number or broadcasts to mu's shape."""
    for name, array in parameters.items():
        shape = array.shape
        broadcasts = len(shape) <= len(mu) and all(
            size in (1, other) for size, other in zip(reversed(shape), reversed(mu), strict=False)
        )
        if not broadcasts:
            expected = f"expected a number or one per neuron, shape ({mu[-1]},)"
            raise ValueError(f"{name}: {expected}, got {tuple(shape)}")


def per_neuron(parameters: dict[str, A], mu: Shape, expanded: Callable[[A, Shape], R]) -> tuple[R, ...]:
    """Check the activation's parameters and give each mu's shape by the library's function `expanded`."""
    check_parameters(parameters, mu)
    return tuple(expanded(array, mu) for array in parameters.values())


def check_bars(bars: dict[str, A], *outputs: A) -> None:
    """Raise unless the gradients of mean and covariance have the shapes of mu and cov, given as `outputs`."""
    for (name, bar), like in zip(bars.items(), outputs, strict=True):
        if bar.shape != like.shape:
            raise ValueError(f"{name}: expected shape {tuple(like.shape)}, got {tuple(bar.shape)}")
