"""The kernels of a wide network: its Gaussian process (NNGP) and its neural tangent kernel (NTK), by recursion.

    python examples/neural_kernels.py            on JAX
    python examples/neural_kernels.py --torch    on PyTorch

Four points on a circle go through a network of three hidden layers with relu. A layer makes of the covariance
of its inputs that of its outputs, weight_var E f f + bias_var, and the tangent kernel follows by E f' f'.
`fm.dual` returns both. The kernels are differentiable, also along a point beside itself. JAX compiles for a
minute.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import fastmoments as fm

POINTS, DEPTH = 4, 3


class Kernels(NamedTuple):
    """The kernels of all pairs of inputs, (n, n)."""

    nngp: Any
    ntk: Any


def layer(before: Kernels, activation: Any, weight_var: float, bias_var: float) -> Kernels:
    """Return the kernels behind an activation and a layer of weights."""
    # variances are the matrix's own diagonal: there rho has to be 1 without rounding
    var = before.nngp.diagonal()
    value, slope = fm.dual(activation, var[:, None], var[None, :], before.nngp)
    nngp = weight_var * value + bias_var
    return Kernels(nngp, nngp + weight_var * slope * before.ntk)


def in_turn(step: Callable[..., Kernels], depth: int, start: Kernels) -> Kernels:
    """Apply a step several times."""
    for _ in range(depth):
        start = step(start)
    return start


def kernels(
    x: Any,
    activation: Any = "relu",
    depth: int = DEPTH,
    weight_var: float = 2.0,
    bias_var: float = 0.0,
    repeated: Callable[..., Kernels] = in_turn,
) -> Kernels:
    """Return both kernels of the inputs x (n, features), an array of any library, for `depth` hidden layers.

    Weights have variance weight_var / width and biases bias_var, all trained (Jacot et al. 2018).
    `repeated(step, depth, start)` applies a step depth times.
    """
    first = weight_var * (x @ x.T) / x.shape[-1] + bias_var
    return repeated(lambda before: layer(before, activation, weight_var, bias_var), depth, Kernels(first, first))


def on_torch() -> tuple[Any, Kernels, Any]:
    """Points, their kernels, and the gradient of the tangent kernel's trace along them."""
    import torch

    angles = torch.linspace(0.0, math.pi, POINTS, dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], -1).requires_grad_()
    found = kernels(x)
    (gradient,) = torch.autograd.grad(found.ntk.trace(), x)
    return x.detach(), Kernels(*(k.detach() for k in found)), gradient


def on_jax() -> tuple[Any, Kernels]:
    """Points and their kernels on JAX, which compiles one layer for all; jax.grad does what autograd does above."""
    import jax
    import jax.numpy as jnp

    def scanned(step: Callable[..., Kernels], depth: int, start: Kernels) -> Kernels:
        return jax.lax.scan(lambda before, _: (step(before), None), start, length=depth)[0]

    with jax.enable_x64(True):
        angles = jnp.linspace(0.0, math.pi, POINTS)
        x = jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)
        return x, kernels(x, repeated=scanned)


def main() -> None:
    """Print both kernels and, on PyTorch, the gradient of the tangent kernel of every point beside itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", action="store_true", help="on PyTorch instead of JAX")
    x, found, *gradient = on_torch() if parser.parse_args().torch else on_jax()
    for name, kernel in zip(("NNGP", "NTK"), found, strict=True):
        print(name)
        for row in kernel.tolist():
            print(" ".join(f"{k:8.5f}" for k in row))
    for row in zip(x.tolist(), gradient[0].tolist(), strict=True) if gradient else ():
        print(
            "point, gradient of its tangent kernel:",
            "   ".join(" ".join(f"{v:8.5f}" for v in part) for part in row),
        )


if __name__ == "__main__":
    main()
