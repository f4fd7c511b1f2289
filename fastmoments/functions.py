"""The public functions of one activation, named after it: relu_moments(mu, cov) is moments(ReLU(), mu, cov)."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from fastmoments.moments import cov, cov_partials, gain, marginals, mean, moments, moments_vjp, var
from fastmoments.signatures import (
    CovFunction,
    CovPartialsFunction,
    MarginalsFunction,
    MomentsFunction,
    MomentsVjpFunction,
    NeuronFunction,
)
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import READY


class Functions(NamedTuple):
    """The public functions of one activation, in the order its names are assigned."""

    moments: MomentsFunction
    marginals: MarginalsFunction
    mean: NeuronFunction
    var: NeuronFunction
    gain: NeuronFunction
    cov: CovFunction
    cov_partials: CovPartialsFunction
    moments_vjp: MomentsVjpFunction


def functions_of(activation: type) -> Functions:
    """The functions above for one activation, named after it: relu_moments(mu, cov) is moments(ReLU(), mu, cov)."""
    return _functions(row_of(activation).name, activation, activation.__doc__ or "")


def functions_to_tolerance(name: str, definition: str) -> Functions:
    """The functions above for a ready-made activation without a closed form."""
    return _functions(name, lambda: READY[name], f"{definition}, by quadrature to {READY[name].tol:g}")


def _functions(name: str, activation: Callable[..., Any], definition: str) -> Functions:
    generic = (moments, marginals, mean, var, gain, cov, cov_partials, moments_vjp)
    return Functions(*(_bound_to(name, activation, definition, function) for function in generic))


def _bound_to(
    name: str, activation: Callable[..., Any], definition: str, generic: Callable[..., Any]
) -> Callable[..., Any]:
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in inspect.signature(activation).parameters.values()]
    parameters = [parameter.name for parameter in own]

    @wraps(generic)
    def function(*arguments: Any, **keywords: Any) -> Any:
        given = {key: keywords.pop(key) for key in parameters if key in keywords}
        return generic(activation(**given), *arguments, **keywords)

    del function.__wrapped__
    function.__annotations__ = {}
    function.__name__ = function.__qualname__ = f"{name}_{generic.__name__}"
    function.__module__ = "fastmoments"
    function.__doc__ = _documentation(generic, name, definition, parameters)
    kept = list(inspect.signature(generic).parameters.values())[1:]
    # bare: `help` shows what there is to pass, type checkers look at Functions
    shown = [parameter.replace(annotation=parameter.empty) for parameter in kept + own]
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return function


def _documentation(generic: Callable[..., Any], name: str, definition: str, parameters: list[str]) -> str:
    """The generic docstring for one f: its name for f, its definition and parameters for `activation`."""
    lines = (generic.__doc__ or "").splitlines()
    lines = [line for line in lines if not line.strip().startswith("activation :")]
    if parameters:
        pair = " a pair of them, one a neuron" if generic.__name__.startswith("cov") else " one per neuron"
        own = f"    {', '.join(parameters)} : numbers, or{pair}."
        at = [i for i, line in enumerate(lines) if line.strip().startswith("precision :")]
        lines[at[0] + 1 if at else 1 : at[0] + 1 if at else 1] = [own] if at else ["", own]
    text = re.sub(r"\bf('*)\((?=X|mu)", rf"{name}\1(", "\n".join(lines))
    for other in ("marginals", "cov"):
        text = text.replace(f"of `{other}`", f"of `{name}_{other}`")
    return text.replace("\n\n", f"\n\n    {name}(x) = {definition.rstrip('.')}.\n\n", 1)
