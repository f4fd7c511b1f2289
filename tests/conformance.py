"""How far a function is from the truth, in units of what its inputs' last bits allow."""

import json
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf

from tests import points
from tests.derivatives import PARTIALS

BOUND = 8
# Triton's kernels run interpreted: in processes of their own, where TRITON_INTERPRET is set
BACKENDS = ("cpu", "eager", "eager.on_torch", "xla", "gpu")
DTYPES = ("float64", "float32")
# Function: what a backend calls it, which of its outputs it is, whose truth it has
FUNCTIONS = {
    "mean": ("mean", None, "mean"),
    "gain": ("gain", None, "gain"),
    "var": ("var", None, "var"),
    "marginals.mean": ("marginals", 0, "mean"),
    "marginals.var": ("marginals", 1, "var"),
    "cov": ("cov", None, "cov"),
} | {name: ("cov_partials", i, name) for i, name in enumerate(PARTIALS)}

RECORD = Path(__file__).parent / "accuracy.json"
# Another compiler or libm changes last bits: the worst of some hundred points may double. Below one unit
# nothing is lost.
SLACK, FLOOR = 2, 1


class Worst(NamedTuple):
    """The largest error of a function over some cases, where it is, how many were judged and which not."""

    error: float
    where: str
    judged: int
    excluded: dict


def error(got, value, cond, dtype):
    """|got - value| in units of eps (1 + cond) |value|; 0 if it is at most the smallest normal number."""
    info = np.finfo(dtype)
    with mp.workdps(40):
        if not mp.isfinite(mpf(float(got))):
            return float("inf")
        difference = abs(mpf(float(got)) - value)
        if difference <= mpf(float(info.tiny)):
            return 0.0
        return float(difference / (mpf(float(info.eps)) * (1 + cond) * abs(value))) if value else float("inf")


def worst(row, backend, dtype, function, cases):
    """Judge a function of FUNCTIONS on those of the cases that have its truth."""
    name, output, key = FUNCTIONS[function]
    eps, excluded, judged = float(np.finfo(dtype).eps), {}, []
    for case in (case for case in cases if key in case.truth):
        reason = points.why_excluded(case, key, row.kinks, eps)
        if reason:
            excluded[reason] = excluded.get(reason, 0) + 1
        else:
            judged.append(case)
    results = _call(row, backend, dtype, name, output, judged)
    errors = [error(got, *case.truth[key], dtype) for got, case in zip(results, judged, strict=True)]
    if not errors:
        return Worst(0.0, "", 0, excluded)
    i = max(range(len(errors)), key=errors.__getitem__)
    value, cond = judged[i].truth[key]
    where = (
        f"{row.name} {function} on {backend} in {dtype}: {errors[i]:.3g} eps (1 + cond)\n"
        f"  inputs {judged[i].inputs} {judged[i].parameters or ''}\n"
        f"  got    {float(results[i])!r}\n  truth  {mp.nstr(value, 20)}, condition {mp.nstr(cond, 4)}\n"
        f"  {sum(e > BOUND for e in errors)} of {len(errors)} cases exceed {BOUND}; excluded: {excluded}"
    )
    return Worst(errors[i], where, len(errors), excluded)


def _call(row, backend, dtype, name, output, cases):
    """Results for the cases, those with as many inputs together."""
    elementwise = import_module(f"fastmoments_kernels.{backend}").elementwise
    inputs = [(*case.inputs, *points.numbers(row, case)) for case in cases]
    results = [None] * len(cases)
    for count in {len(x) for x in inputs}:
        members = [i for i, x in enumerate(inputs) if len(x) == count]
        arrays = np.array([inputs[i] for i in members], dtype=dtype).T
        function = elementwise(row.name, name, count)
        with np.errstate(all="ignore"):
            found = function(*arrays, **_poisoned(function, arrays))
        found = found if output is None else found[output]
        assert found.dtype == dtype, f"{name} on {backend} returned {found.dtype} for {dtype}"
        for i, number in zip(members, found, strict=True):
            results[i] = number
    return results


def _poisoned(function, arrays):
    """Outputs full of nan for those that take any: an element that is not written shows."""
    if not isinstance(function, np.ufunc):
        return {}
    out = tuple(np.full_like(arrays[0], np.nan) for _ in range(function.nout))
    return {"out": out}


def errors(row, backend):
    """The worst error of every function over the reference tables, by key."""
    found = {}
    for dtype, function in product(DTYPES, FUNCTIONS):
        judged = worst(row, backend, dtype, function, points.table(row.name, dtype))
        assert judged.judged > 0.6 * (judged.judged + sum(judged.excluded.values())), judged.excluded
        found[key(row, backend, dtype, function)] = judged
    return found


def key(row, backend, dtype, function):
    """Name a record of accuracy.json."""
    return f"{row.name}/{backend}/{dtype}/{function}"


def recorded():
    """Read accuracy.json."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}
