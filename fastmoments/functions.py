"""The public functions of one activation, named after it: relu_moments(mu, cov) is moments(ReLU(), mu, cov)."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from fastmoments.composed.base import Composed
from fastmoments.elementwise import cov, cov_partials, gain, marginals, mean, var
from fastmoments.hints import check
from fastmoments.moments import moments, moments_vjp
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import READY

# The docstrings' text on parameters, by (function of a pair, mixture)
OWN = {
    (False, False): "numbers, or arrays (n,) with one number per neuron",
    (True, False): "numbers, or tuples (first neuron's, second neuron's)",
    (False, True): "one number per component, (K,), or arrays (n, K) with each neuron's",
    (True, True): "one number per component, (K,), or tuples (first neuron's, second neuron's)",
}
BY_QUADRATURE = """|error| <= {tol:g} sqrt(E (f(X) - f(mu))^2) for means, and {tol:g} of the product of standard
    deviations for covariances, plus the dtype's rounding; `fm.ToleranceError` if the tolerance cannot be met."""
NO_UFUNC = "refused, because the function is no ufunc"


class Functions(NamedTuple):
    """The public functions of one activation, in the order in which __init__.py names them."""

    moments: Callable[..., Any]
    marginals: Callable[..., Any]
    mean: Callable[..., Any]
    var: Callable[..., Any]
    gain: Callable[..., Any]
    cov: Callable[..., Any]
    cov_partials: Callable[..., Any]
    moments_vjp: Callable[..., Any]


def functions_of(activation: type) -> Functions:
    """Return the public functions of an activation of the catalogue."""
    row = row_of(activation)
    return _functions(row.name, activation, activation.__doc__ or "", is_mixture=bool(row.components))


def functions_to_tolerance(name: str, definition: str) -> Functions:
    """Return the public functions of a ready-made activation without a closed form."""
    tol = READY[name].tol
    return _functions(name, lambda: READY[name], f"{definition}, by quadrature to {tol:g}", tol=tol)


def functions_composed(activation: type[Composed]) -> Functions:
    """Return the public functions of an activation that is composed of others."""
    definition = f"{(activation.__doc__ or '').rstrip('.')}, in closed form to {activation.tol:g}"
    return _functions(activation.name, activation, definition, tol=activation.tol)


def _functions(name: str, activation: Callable[..., Any], definition: str, **kind: Any) -> Functions:
    generic = (moments, marginals, mean, var, gain, cov, cov_partials, moments_vjp)
    # a function of one activation checks its keywords itself
    plain = (inspect.unwrap(function) for function in generic)
    return Functions(*(_bound_to(name, activation, definition, function, **kind) for function in plain))


def _bound_to(
    name: str, activation: Callable[..., Any], definition: str, generic: Callable[..., Any], **kind: Any
) -> Callable[..., Any]:
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in inspect.signature(activation).parameters.values()]
    parameters = [parameter.name for parameter in own]

    @wraps(generic)
    def function(*arguments: Any, **keywords: Any) -> Any:
        if len(arguments) != required or not accepted.issuperset(keywords):
            check(function, arguments, keywords)
        if not keywords and usual is not None:
            return generic(usual, *arguments)
        given = {key: keywords.pop(key) for key in parameters if key in keywords}
        return generic(activation(**given) if given or usual is None else usual, *arguments, **keywords)

    del function.__wrapped__
    function.__annotations__ = {}
    function.__name__ = function.__qualname__ = f"{name}_{generic.__name__}"
    function.__module__ = "fastmoments"
    function.__doc__ = _documentation(generic, name, definition, parameters, **kind)
    kept = list(inspect.signature(generic).parameters.values())[1:]
    # bare: `help` shows what there is to pass, type checkers read __init__.pyi
    shown = [parameter.replace(annotation=parameter.empty) for parameter in kept + own]
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    usual = None if any(parameter.default is parameter.empty for parameter in own) else activation()
    required = sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in shown)
    accepted = {parameter.name for parameter in shown}
    return function


def _documentation(
    generic: Callable[..., Any],
    name: str,
    definition: str,
    parameters: list[str],
    is_mixture: bool = False,
    tol: float | None = None,
) -> str:
    """Return the generic docstring with the activation's name for f, its definition and its parameters."""
    lines = (generic.__doc__ or "").splitlines()
    lines = [line for line in lines if not line.strip().startswith("activation :")]
    if parameters:
        own = f"    {', '.join(parameters)} : {OWN[generic.__name__.startswith('cov'), is_mixture]}."
        at = [i for i, line in enumerate(lines) if line.strip().startswith("precision :")]
        lines[at[0] + 1 if at else 1 : at[0] + 1 if at else 1] = [own] if at else ["", own]
    text = "\n".join(lines)
    if tol is not None:
        # an error of several eps reads "|error| <= 8 eps ..." up to its period
        text = re.sub(r"\|error(_ij)?\| <= 8 eps[^.]*\.", BY_QUADRATURE.format(tol=tol), text)
        text = text.replace("by closed forms", "by a series to a tolerance")
        text = text.replace(", relative to itself in the tails too", "")
        text = re.sub(r"as for NumPy's ufuncs, with NumPy arrays only(; `out` is a pair)?", NO_UFUNC, text)
    text = re.sub(r"\bf('*)\((?=X|mu)", rf"{name}\1(", text)
    for other in ("marginals", "cov"):
        text = text.replace(f"of `{other}`", f"of `{name}_{other}`")
    return text.replace("\n\n", f"\n\n    {name}(x) = {definition.rstrip('.')}.\n\n", 1)
