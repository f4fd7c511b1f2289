"""A function as a case of a test, and what several of them are made of.

A maker takes a NumPy generator and returns the function. It makes its parameters when it is called, so that they
have the precision that is then in force. Hidden layers are 8 wide wherever they can be: XLA compiles a rule for
each width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Case(NamedTuple):
    """A maker of a function from a generator, and the shapes of its arguments without the batch."""

    make: Callable
    shapes: object  # one shape, or a tuple or a dictionary of several
    sd: float = 0.01  # about that of every element of the input
    seed: int = 0  # of the generator


def dense(rng, *sizes):
    """Parameters of a multilayer perceptron."""
    return [
        {"w": jnp.asarray(rng.normal(size=(n, m)) / np.sqrt(n)), "b": jnp.asarray(0.3 * rng.normal(size=m))}
        for n, m in zip(sizes, sizes[1:], strict=False)
    ]


def mlp(params, x, activation):
    for layer in params[:-1]:
        x = activation(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def perceptron(rng, activation, sizes=(4, 8, 8, 3)):
    return partial(mlp, dense(rng, *sizes), activation=activation)


def filled(rng, shapes):
    """A pytree with random numbers in the place of shapes: initialisers would each be compiled."""

    def fill(leaf):
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        return jnp.asarray(rng.uniform(-0.7, 0.7, leaf.shape)) if is_shape else leaf

    return jax.tree.map(fill, shapes)
