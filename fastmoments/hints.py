"""Hints of errors: the known name that an unknown one was meant for."""

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

from fastmoments_kernels.names import key_of, nearest
from fastmoments_kernels.parameters import Parameters

F = TypeVar("F", bound=Callable[..., Any])

# what other libraries call it
ALIASES = {"swish": "silu", "logistic": "sigmoid", "expit": "sigmoid", "step": "heaviside", "ndtr": "probit"}

# what other libraries call arguments, and what they may be here
KEYWORDS = {
    **dict.fromkeys(("mean", "loc"), ("mu", "mean")),
    **dict.fromkeys(("variance", "var", "variances"), ("var", "cov")),
    **dict.fromkeys(("sigma", "covariance_matrix", "covariance"), ("cov", "var")),
    **dict.fromkeys(("samples", "n_samples", "num_samples"), ("samples", "most")),
    **dict.fromkeys(("rtol", "tolerance"), ("tol",)),
}
# what results are asked for by other names, and fields of answers that are checked alone
FIELDS = {
    **dict.fromkeys(("std", "stddev", "sigma"), "sd"),
    **{"variance": "var", "covariance": "cov", "mu": "mean", "loc": "mean", "quantiles": "quantile"},
    **dict.fromkeys(("ppf", "icdf"), "quantile"),
    **dict.fromkeys(("intervals", "confidence_interval", "credible_interval"), "interval"),
}
OF_CHECKED = ("error", "met", "count", "weight", "points", "closure")
CHECKED = "what fm.propagate(..., tol=0.01) returns"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the nearest of the names, or nothing where none is near."""
    near = nearest(name, names)
    return f"; did you mean {near}?" if near else ""


def no_attribute(module: str, name: str, names: Iterable[str]) -> AttributeError:
    """Return the error for an attribute that a module has not."""
    of, _, function = name.rpartition("_")
    meant = f"{ALIASES.get(of)}_{function}"
    hint = f"; did you mean {meant}?" if meant in (names := list(names)) else did_you_mean(name, names)
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}")


def no_field(result: Any, name: str) -> AttributeError:
    """Return the error for an attribute that a result has not: which result has it, or how it is computed."""
    kind, fields = type(result).__name__, result._fields
    var = "var" if "var" in fields else "cov.diagonal(0, -2, -1)"
    known = {
        "quantile": f"{CHECKED} has it: quantile(0.05)",
        "interval": f"{CHECKED} has its ends: quantile(0.05) and quantile(0.95)",
        "var": f"the variances are {var}",
        "sd": f"the standard deviations are {var} ** 0.5",
        "cov": 'fm.moments, and fm.propagate(..., covariance="full"), return it',
        "cross": "layers return it with return_cross=True",
        "bound": "fm.propagate(..., bound=True) returns it",
        "small": "fm.propagate(..., cumulants=True) returns it",
    } | dict.fromkeys(OF_CHECKED, f"{CHECKED} has it")
    meant = FIELDS.get(name, name)
    hint = f"; it is {meant}" if meant in fields else f"; {known[meant]}" if meant in known else ""
    return AttributeError(f"{kind!r} object has no attribute {name!r}{hint or did_you_mean(name, fields)}")


def explained(function: F) -> F:
    """Decorate a function or constructor: the error for a keyword that it does not take says what was meant."""
    accepted = frozenset(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        if not accepted.issuperset(keywords):
            check(function, arguments, keywords)
        return function(*arguments, **keywords)

    return checked  # type: ignore[return-value]


def check(function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
    """Raise for arguments that a function does not take; the error says what was meant, and shows the signature."""
    known, name = dict(inspect.signature(function).parameters), function.__name__
    if name == "__init__":
        self, *arguments = arguments
        name = type(self).__name__
        known.pop("self")
    signature = inspect.Signature([parameter.replace(annotation=parameter.empty) for parameter in known.values()])
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        reason = error
    else:
        return
    hint = ""
    unknown = next((keyword for keyword in keywords if keyword not in known), None)
    if unknown is not None:
        # Python names what is missing first
        reason = TypeError(f"got an unexpected keyword argument {unknown!r}")
        meant = next((name for name in KEYWORDS.get(unknown, ()) if name in known), None)
        hint = f"; did you mean {meant}?" if meant else did_you_mean(unknown, known)
        if "activation" in known and not hint:
            hint = _of_activation(unknown, keywords.get("activation", arguments[0] if arguments else None))
    raise TypeError(f"{name}: {reason}{hint}; it is {name}{signature}")


def _of_activation(keyword: str, activation: Any) -> str:
    """Return what to write where a keyword belongs to the activation, as negative_slope does to LeakyReLU."""
    given = activation if isinstance(activation, type) else type(activation)
    kind = _class_named(activation if isinstance(activation, str) else given.__name__)
    near = nearest(keyword, inspect.signature(kind).parameters) if kind else None
    return f"; did you mean {kind.__name__}({near}=...) as the activation?" if kind and near else ""


def object_named(name: str) -> str:
    """Return the class, as fm.ELU, of an activation that has no name but may be meant by one; or nothing."""
    kind = _class_named(name)
    return f"fm.{kind.__name__}" if kind and hasattr(kind, "lipschitz") else ""


def _class_named(name: str) -> type | None:
    public: dict[str, Any] = vars(sys.modules["fastmoments"])  # which is all above this module
    for known, value in public.items():
        if isinstance(value, type) and issubclass(value, Parameters) and key_of(known) == key_of(name):
            return value
    return None
