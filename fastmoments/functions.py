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

# What an activation's own parameters may be: of one neuron or of a pair, numbers or a mixture's
OWN = {
    (False, False): "numbers, or one per neuron",
    (True, False): "numbers, or a pair of them, one a neuron",
    (False, True): "one number a component, (K,), or each neuron's own, (n, K)",
    (True, True): "one number a component, (K,), or a pair of those, one a neuron",
}
BY_QUADRATURE = """|error| <= {tol:g} sqrt(E (f(X) - f(mu))^2) for means, {tol:g} of the product of standard
    deviations for covariances, besides the dtype's rounding; `fm.ToleranceError` where that cannot be had."""
NO_UFUNC = "refused, for it is no ufunc"


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
    row = row_of(activation)
    return _functions(row.name, activation, activation.__doc__ or "", is_mixture=bool(row.components))


def functions_to_tolerance(name: str, definition: str) -> Functions:
    """The functions above for a ready-made activation without a closed form."""
    tol = READY[name].tol
    return _functions(name, lambda: READY[name], f"{definition}, by quadrature to {tol:g}", tol=tol)


def _functions(name: str, activation: Callable[..., Any], definition: str, **kind: Any) -> Functions:
    generic = (moments, marginals, mean, var, gain, cov, cov_partials, moments_vjp)
    return Functions(*(_bound_to(name, activation, definition, function, **kind) for function in generic))


def _bound_to(
    name: str, activation: Callable[..., Any], definition: str, generic: Callable[..., Any], **kind: Any
) -> Callable[..., Any]:
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in inspect.signature(activation).parameters.values()]
    parameters = [parameter.name for parameter in own]

    @wraps(generic)
    def function(*arguments: Any, **keywords: Any) -> Any:
        if len(arguments) != required or not accepted.issuperset(keywords):
            _check(function, arguments, keywords)
        given = {key: keywords.pop(key) for key in parameters if key in keywords}
        return generic(activation(**given), *arguments, **keywords)

    del function.__wrapped__
    function.__annotations__ = {}
    function.__name__ = function.__qualname__ = f"{name}_{generic.__name__}"
    function.__module__ = "fastmoments"
    function.__doc__ = _documentation(generic, name, definition, parameters, **kind)
    kept = list(inspect.signature(generic).parameters.values())[1:]
    # bare: `help` shows what there is to pass, type checkers look at Functions
    shown = [parameter.replace(annotation=parameter.empty) for parameter in kept + own]
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    required = sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in shown)
    accepted = {parameter.name for parameter in shown}
    return function


def _check(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Raise for arguments that a function does not have, in its own name and with those that it has."""
    try:
        function.__signature__.bind(*arguments, **keywords)
    except TypeError as error:
        raise TypeError(
            f"{function.__name__}: {error}; it is {function.__name__}{function.__signature__}"
        ) from None


def _documentation(
    generic: Callable[..., Any],
    name: str,
    definition: str,
    parameters: list[str],
    is_mixture: bool = False,
    tol: float | None = None,
) -> str:
    """The generic docstring for one f: its name for f, its definition and parameters for `activation`."""
    lines = (generic.__doc__ or "").splitlines()
    lines = [line for line in lines if not line.strip().startswith("activation :")]
    if parameters:
        own = f"    {', '.join(parameters)} : {OWN[generic.__name__.startswith('cov'), is_mixture]}."
        at = [i for i, line in enumerate(lines) if line.strip().startswith("precision :")]
        lines[at[0] + 1 if at else 1 : at[0] + 1 if at else 1] = [own] if at else ["", own]
    text = "\n".join(lines)
    if tol is not None:
        # in place of a multiple of eps: an error reads "|error| <= 8 eps ...", up to its period
        text = re.sub(r"\|error(_ij)?\| <= 8 eps[^.]*\.", BY_QUADRATURE.format(tol=tol), text)
        text = text.replace("by closed forms", "by a series to a tolerance")
        text = text.replace(", relative to itself in the tails too", "")
        text = re.sub(r"as for NumPy's ufuncs, with NumPy arrays only(; `out` is a pair)?", NO_UFUNC, text)
    text = re.sub(r"\bf('*)\((?=X|mu)", rf"{name}\1(", text)
    for other in ("marginals", "cov"):
        text = text.replace(f"of `{other}`", f"of `{name}_{other}`")
    return text.replace("\n\n", f"\n\n    {name}(x) = {definition.rstrip('.')}.\n\n", 1)
