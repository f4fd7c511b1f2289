"""The arguments of `propagate` beside model, mu and cov, and which of them exclude each other."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

Covariance = Literal["full", "diagonal", "hybrid"]
LIMIT = 4096  # full covariance of more is 128 MB a value in float64 and more
MOST = 2**20  # points of one input
LEAST = 512  # the first points: 64 of each of 8 sequences


def check_options(covariance: Any, bound: Any, cumulants: Any, tol: Any, seed: Any, most: Any, limit: Any) -> None:
    """Raise for arguments that are unknown, or that exclude each other, by their names."""
    if covariance not in ("full", "diagonal", "hybrid"):
        raise ValueError(f'covariance: expected "full", "diagonal" or "hybrid", got {covariance!r}')
    if bound and covariance != "full":
        raise ValueError(f'bound: needs covariance="full", got {covariance!r}')
    if cumulants and covariance != "full":
        raise ValueError(f'cumulants: needs covariance="full", got {covariance!r}')
    if bound and cumulants:
        raise ValueError("bound: it is one of the moments without cumulants; leave out bound or cumulants")
    if isinstance(limit, bool) or not isinstance(limit, Real):
        raise TypeError(f"limit: expected a number of elements, got {limit!r}")
    if tol is None:
        return
    if covariance == "hybrid":
        raise ValueError('tol: needs covariance="full" or "diagonal", got "hybrid"')
    if bound:
        raise ValueError("bound: it is one of the moments without points; leave out bound or tol")
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0.0 < float(tol) < 1.0:
        percent = isinstance(tol, int | float) and not isinstance(tol, bool) and 1.0 <= tol < 100.0
        hint = f"; for {tol:g} % tol={tol / 100:g}" if percent else ""
        raise ValueError(f"tol: expected a number between 0 and 1, such as 0.01 for 1 %, got {tol!r}{hint}")
    for name, value, least in (("seed", seed, 0), ("most", most, LEAST)):
        if not _is_integer(value):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value!r}")


def check_rules(rules: Any) -> None:
    """Raise unless they are rules by classes: others would be used for nothing."""
    if not isinstance(rules, Mapping):
        raise TypeError(f"rules: expected a dictionary {{Class: rule}}, got {type(rules).__name__}")
    for kind in rules:
        if not isinstance(kind, type):
            raise TypeError(f"rules: expected classes of modules as keys, got {kind!r}")


def _is_integer(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)
