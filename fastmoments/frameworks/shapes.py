"""Shapes that disagree get the same error from every array library."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from fastmoments_kernels.cautions import warn

Array = Any
Shape = tuple[int, ...]


def broadcast(shapes: dict[str, Shape]) -> Shape:
    """The shape that arguments, given by name, have together."""
    first, *others = shapes.values()
    if all(shape == first for shape in others):
        return tuple(first)
    sizes = []
    for column in zip_longest(*(reversed(shape) for shape in shapes.values()), fillvalue=1):
        wide = [size for size in column if size != 1]
        if any(size != wide[0] for size in wide):
            shown = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
            raise ValueError(f"expected shapes that broadcast together, got {shown}")
        sizes.append(wide[0] if wide else 1)
    return tuple(reversed(sizes))


def doubt(activation: Any, arguments: dict[str, Array], may_be: Callable[[Array], bool]) -> None:
    """Warn of a covariance matrix where variances are expected: it broadcasts, and few mean that."""
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
    """The leading dimensions that mu (..., n) and cov (..., n, n) have together."""
    if not mu:
        raise ValueError("mu: expected shape (..., n), got a scalar")
    n = mu[-1]
    if cov[-2:] != (n, n):
        raise ValueError(f"cov: expected shape (..., {n}, {n}) for mu of shape {tuple(mu)}, got {tuple(cov)}")
    if mu[:-1] == cov[:-2]:
        return tuple(mu[:-1])
    try:
        return broadcast({"mu": mu[:-1], "cov": cov[:-2]})
    except ValueError:
        leading = f"{tuple(cov[:-2])} do not broadcast with mu's {tuple(mu[:-1])}"
        raise ValueError(f"cov: leading dimensions {leading}") from None


def check_parameters(parameters: dict[str, Array], mu: Shape) -> None:
    """An activation's parameter is one number, or one per neuron, in every batch or in each."""
    for name, array in parameters.items():
        shape = array.shape
        broadcasts = len(shape) <= len(mu) and all(
            size in (1, other) for size, other in zip(reversed(shape), reversed(mu), strict=False)
        )
        if not broadcasts:
            expected = f"expected a number or one per neuron, shape ({mu[-1]},)"
            raise ValueError(f"{name}: {expected}, got {tuple(shape)}")


def per_neuron(
    parameters: dict[str, Array], mu: Shape, expanded: Callable[[Array, Shape], Array]
) -> tuple[Array, ...]:
    """The parameters, one number or one a neuron, in mu's shape: `expanded` is how their library does it."""
    check_parameters(parameters, mu)
    return tuple(expanded(array, mu) for array in parameters.values())


def check_bars(bars: dict[str, Array], *outputs: Array) -> None:
    """A gradient with respect to an output has its shape; outputs have those of mu and cov."""
    for (name, bar), like in zip(bars.items(), outputs, strict=True):
        if bar.shape != like.shape:
            raise ValueError(f"{name}: expected shape {tuple(like.shape)}, got {tuple(bar.shape)}")
