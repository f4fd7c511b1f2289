"""The functions of numbers for users' own Triton kernels, on blocks of float32 or float64."""

from collections.abc import Callable
from functools import cache
from typing import Any

import triton.language as tl

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.formulas.bivariate_normal import NORMAL
from fastmoments_kernels.formulas.scalars import SCALARS
from fastmoments_kernels.gpu.compiled import BASE, as_device, device_function
from fastmoments_kernels.gpu.elementary import constant
from fastmoments_kernels.kinds import is_of_pair, slack_of
from fastmoments_kernels.vocabulary import Real, Reals

# bound per function, in either dtype
in_32: Callable[..., Any] = SCALARS["mean"]
in_64: Callable[..., Any] = SCALARS["mean"]
SLACK_32, SLACK_64 = slack_of(2, 2.0**-23), slack_of(2, 2.0**-52)


def blocks(numbers: Reals, like: Real) -> Reals:
    """Blocks or bare numbers as blocks of at least the shape of `like`, in its dtype."""
    values: Reals = ()
    for k in tl.static_range(len(numbers)):
        values = values + (tl.zeros_like(like) + numbers[k],)
    return values


def of_neuron(mu: Real, var: Real, parameters: Reals = ()) -> Reals:
    x = blocks((mu, var), mu)
    if mu.dtype == tl.float64:
        return in_64(x[0], x[1], blocks(parameters, mu))
    else:
        return in_32(x[0], x[1], blocks(parameters, mu))


def of_pair(mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, parameters: Reals = ()) -> Reals:
    x = blocks((mu_1, mu_2, var_1, var_2, cov_12), mu_1)
    if mu_1.dtype == tl.float64:
        return in_64(x[0], x[1], x[2], x[3], x[4], blocks(parameters, mu_1), SLACK_64)
    else:
        return in_32(x[0], x[1], x[2], x[3], x[4], blocks(parameters, mu_1), SLACK_32)


def of_normal(h: Real, k: Real, rho: Real) -> Reals:
    x = blocks((h, k, rho), h)
    if h.dtype == tl.float64:
        return in_64(x[0], x[1], x[2])
    else:
        return in_32(x[0], x[1], x[2])


def _callable(template: Callable[..., Any], function: Callable[..., Any], activation: str) -> Any:
    in_32, in_64 = (device_function(function, activation, dtype) for dtype in ("float32", "float64"))
    names = {**BASE, "in_32": in_32, "in_64": in_64}
    return Binding(names, compile=as_device, constant=constant)(template)


@cache
def scalar(activation: str, name: str) -> Any:
    """The function `name` of SCALARS for an activation; its parameters are a tuple of numbers."""
    return _callable(of_pair if is_of_pair(name) else of_neuron, SCALARS[name], activation)


@cache
def normal_scalar(name: str) -> Any:
    """The function `name` of NORMAL; it depends on no activation."""
    return _callable(of_normal, NORMAL[name], CATALOGUE[0].name)
