"""Compilation ahead of use."""

import time
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np

from fastmoments import normal
from fastmoments.composed.base import Composed
from fastmoments.composed.elu import CELU, ELU, SELU
from fastmoments.composed.exp import Exp
from fastmoments.composed.logistic import LogSigmoid, Sigmoid, SiLU, Softplus, Tanh
from fastmoments.composed.piecewise import HardShrink, HardSigmoid, HardTanh, ReLU6, SoftShrink
from fastmoments.dispatch import PRECISIONS
from fastmoments.elementwise import cov, cov_partials, gain, marginals, mean, var
from fastmoments.layers import bayes_linear_marginals, residual_moments
from fastmoments.moments import moments, moments_vjp
from fastmoments_kernels.background.entries import LARGE, Entry, seconds_to_compile
from fastmoments_kernels.catalogue import CATALOGUE, PARAMETERS, ROWS, row_of
from fastmoments_kernels.cautions import say
from fastmoments_kernels.cpu.compiler import check_installed
from fastmoments_kernels.custom import READY, Custom
from fastmoments_kernels.kinds import OF_NORMAL
from fastmoments_kernels.serving import choice

COMPOSED: tuple[type[Composed], ...] = (
    *(Tanh, Sigmoid, SiLU, Softplus, LogSigmoid, ELU, SELU, CELU, Exp),
    *(HardShrink, HardSigmoid, HardTanh, ReLU6, SoftShrink),
)
OF_ROWS = {row.name: row.name for row in CATALOGUE if not row.components}  # a mixture's parameters have no defaults
NAMED: dict[str, Any] = OF_ROWS | READY | {of.name: of for of in COMPOSED}
MIXTURE = "GaussianMixture(weights, taus)"
MEMORY = "half a gigabyte"  # that compiling takes at most

Calls = Iterator[Callable[[], Any]]


def warm_up(*activations: Any, dtypes: str | tuple[str, ...] = ("float32", "float64")) -> None:
    """Compile the CPU kernels now instead of at their first calls, and keep them on disk.

    It writes to standard error what that will take, and a line for each activation with its seconds. The command
    `python -m fastmoments warm-up relu` does the same.

    Parameters
    ----------
    *activations : objects such as ReLU(), names such as "relu" or "tanh", or names of single functions, such as
        "relu_cov" or "bivariate_normal_cdf"; default all activations but mixtures, and the bivariate normal.
    dtypes : the dtypes of the arrays: "float32", "float64" or both.

    Raises
    ------
    ValueError : names that are neither an activation's nor a function's, a mixture that is no object, other dtypes.

    Notes
    -----
    Later processes read the compiled kernels from disk until fastmoments is upgraded. Functions of `fm.njit` are
    compiled for the types that they are called with, and not here.

    Kernels are compiled for a number of components: each number up to 8 (up to 20 in functions of one neuron), then
    powers of two. Each component adds about half a second to the compilation.
    """
    names = _checked(dtypes)
    chosen = activations or (*NAMED, *OF_NORMAL)
    found = [(_title(activation), _calls_of(activation, names)) for activation in chosen]
    known: set[Entry] = set()
    missing = [(title, _missing(calls, known)) for title, calls in found]
    seconds = sum(seconds_to_compile(entry) for entry in known)
    if not known:
        say(f"fastmoments: all of {', '.join(title for title, _ in found)} is compiled")
        return
    check_installed()
    count = f"{len(known)} function{'s' * (len(known) > 1)}"
    say(f"fastmoments: compiling {count}, about {seconds:.0f} s and {MEMORY}, {choice.where_kept()}")
    for title, entries in missing:
        _compile(title, entries)


def _checked(dtypes: Any) -> tuple[str, ...]:
    given = (dtypes,) if isinstance(dtypes, str | type | np.dtype) else dtypes
    names = tuple(np.dtype(dtype).name for dtype in given)
    if not names or not set(names) <= set(PRECISIONS):
        raise ValueError(f'dtypes: expected "float32", "float64" or both, got {dtypes!r}')
    return names


def _missing(calls: Calls, known: set[Entry]) -> list[Entry]:
    """The entries of calls that are neither compiled nor known, to which they are added."""
    with choice.listing() as found:
        for call in calls:
            call()
    missing = [entry for entry in found if entry not in known and not choice.is_compiled(entry)]
    known.update(missing)
    return missing


def _compile(title: str, entries: list[Entry]) -> None:
    """Compile the entries, with a line that grows by a dot for each."""
    start = time.perf_counter()
    say(f"  {title} ", end="")
    for entry in entries:
        choice.compile_here(entry, told=False)
        say(".", end="")
    say(f" {time.perf_counter() - start:.1f} s" if entries else "is compiled")


def _title(activation: Any) -> str:
    if isinstance(activation, str):
        return activation
    of = activation if isinstance(activation, type) else type(activation)
    return ROWS[of].name if of in ROWS else str(getattr(of, "name", of.__name__))


def _calls_of(activation: Any, dtypes: tuple[str, ...]) -> Calls:
    """Calls of an activation's functions, or of one function, that need all their kernels."""
    if not isinstance(activation, str):
        if not isinstance(activation, Custom | Composed) and not _is_composed(activation):
            row = row_of(activation)  # raises for what is no activation
            if isinstance(activation, type) and row.components:
                raise ValueError(f"activation: expected an object, such as {MIXTURE}, got the class")
        return _every(_named(activation), "", dtypes)
    if activation in OF_NORMAL:
        function = getattr(normal, activation)
        return (partial(function, *np.zeros((3, 1), dtype)) for dtype in dtypes)
    if activation in NAMED:
        return _every(NAMED[activation], "", dtypes)
    for name in sorted(NAMED, key=len, reverse=True):
        if activation.removeprefix(f"{name}_") in FUNCTIONS and activation.startswith(f"{name}_"):
            return _every(NAMED[name], activation.removeprefix(f"{name}_"), dtypes)
    if activation in ROWS or activation.startswith("gaussian_mixture_"):
        raise ValueError(f"activation: expected an object, such as {MIXTURE}, got {activation!r}")
    names = [*NAMED, *OF_NORMAL]
    near = get_close_matches(activation.lower(), names, 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    functions = ", ".join(f"_{name}" for name in FUNCTIONS)
    expected = f"{', '.join(names)}, or the name of one and {functions}"
    raise ValueError(f"activation: expected one of {expected}, got {activation!r}{hint}")


def _is_composed(activation: Any) -> bool:
    return isinstance(activation, type) and issubclass(activation, Composed)


def _named(activation: Any) -> Any:
    """The activation's name, for which defaults of parameters serve, unless it is a mixture or composed."""
    row = ROWS.get(activation if isinstance(activation, type) else type(activation))
    return activation if row is None or row.components else row.name


def _every(activation: Any, function: str, dtypes: tuple[str, ...]) -> Calls:
    """Calls of all functions, or of one."""
    for dtype in dtypes:
        for name, calls in FUNCTIONS.items():
            if function in ("", name):
                yield from calls(activation, dtype)


def _of_neurons(function: Callable[..., Any]) -> Callable[[Any, str], Calls]:
    def calls(activation: Any, dtype: str) -> Calls:
        yield partial(function, activation, np.zeros(1, dtype), np.ones(1, dtype))

    return calls


def _of_pairs(function: Callable[..., Any]) -> Callable[[Any, str], Calls]:
    def calls(activation: Any, dtype: str) -> Calls:
        one = np.ones(1, dtype)
        yield partial(function, activation, one, one, one, one, 0 * one)

    return calls


def _moments(activation: Any, dtype: str) -> Calls:
    for n in (1, LARGE + 1):
        yield partial(moments, activation, np.zeros(n, dtype), np.eye(n, dtype=dtype))


def _moments_vjp(activation: Any, dtype: str) -> Calls:
    x, matrix = np.ones(1, dtype), np.ones((1, 1), dtype)
    row = ROWS.get(activation if isinstance(activation, str | type) else type(activation))
    yield partial(moments_vjp, activation, x, matrix, x, matrix)
    if row is not None and PARAMETERS[row.activation]:
        yield partial(moments_vjp, activation, x, matrix, x, matrix, return_parameters=True)


def _layers(activation: Any, dtype: str) -> Calls:
    x, weight = np.ones(1, dtype), np.ones((1, 1), dtype)
    yield partial(bayes_linear_marginals, x, x, weight, weight, activation=activation)
    yield partial(residual_moments, activation, x, weight, weight)


FUNCTIONS: dict[str, Callable[[Any, str], Calls]] = {
    "moments": _moments,
    "moments_vjp": _moments_vjp,
    **{function.__name__: _of_neurons(function) for function in (mean, var, gain, marginals)},
    **{function.__name__: _of_pairs(function) for function in (cov, cov_partials)},
    "layer": _layers,
}
