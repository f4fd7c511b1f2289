"""The name that a mistyped one is nearest to, for errors."""

import sys
from collections.abc import Iterable
from typing import Any

# what other libraries call it
ALIASES = {"swish": "silu", "logistic": "sigmoid", "expit": "sigmoid", "step": "heaviside", "ndtr": "probit"}


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the nearest of the names, or nothing where none is near."""
    # on errors alone
    from difflib import get_close_matches

    by_key = {_key(known): known for known in names if not known.startswith("_")}
    key = _key(name)
    part = [known for known in by_key if key and key in known]
    near = get_close_matches(key, by_key, 1) or sorted(part, key=len)
    return f"; did you mean {by_key[near[0]]}?" if near else ""


def no_attribute(module: str, name: str, names: Iterable[str]) -> AttributeError:
    """Return the error for an attribute that a module has not."""
    return AttributeError(f"module {module!r} has no attribute {name!r}{did_you_mean(name, names)}")


def object_named(name: str) -> str:
    """Return the class, as fm.ELU, of an activation that has no name but may be meant by one; or nothing."""
    public: dict[str, Any] = vars(sys.modules["fastmoments"])  # which is all above this module
    for known, value in public.items():
        if isinstance(value, type) and hasattr(value, "lipschitz") and _key(known) == _key(name):
            return f"fm.{known}"
    return ""


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
