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
# What a gradient needs beside them. The tables have no truth of these; whole gradients are judged in test_matrices.
SLOPES = {
    "mean_d_var": ("mean_dvar", None, "mean_d_var"),
    "var_d_mu": ("var_partials", 0, "var_d_mu"),
    "var_d_var": ("var_partials", 1, "var_d_var"),
}

NORMAL = {
    "cdf": ("bivariate_normal_cdf", None, "cdf"),
    "log_cdf": ("log_bivariate_normal_cdf", None, "log_cdf"),
} | {name: ("bivariate_normal_cdf_partials", i, name) for i, name in enumerate(("d_h", "d_k", "d_rho"))}
# Where the cases come from: tables, or rows drawn from other seeds than whatever the formulas were tuned on
SOURCES = {"": points.table, "unseen": points.unseen_table}

PAIR = {truth for name, _, truth in FUNCTIONS.values() if name.startswith("cov")}

RECORD = Path(__file__).parent / "accuracy.json"
# Another compiler, libm or processor changes last bits: the worst of some hundred points may double. Exponentials
# of array libraries depend on the processor's vectors: 1.8 units were seen where 0.5 are recorded, so that up to
# three say nothing there; below one nothing is lost by compiled kernels.
SLACK = 2


def floor(backend):
    """Units below which a record says nothing."""
    return 1 if backend in ("cpu", "gpu") else 3


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
    """Judge a function of FUNCTIONS or SLOPES on those of the cases that have its truth."""
    name, output, truth = (FUNCTIONS | SLOPES)[function]
    cases = [case for case in cases if truth in case.truth]
    results = _results(row, backend, dtype, name, cases)
    return _judge(f"{row.name} {function} on {backend}", dtype, (name, output, truth), row.kinks, cases, results)


def errors(row, backend, sources=tuple(SOURCES), progress=iter):
    """Judge every function on the cases of sources: Worst by key. One call serves them, and all outputs."""
    found, known = {}, {}
    for dtype, (function, (name, _, truth)) in progress(list(product(DTYPES, FUNCTIONS.items()))):
        # d_mu_1 has the truth of one side of a pair, d_mu_2 of the other
        neurons = 2 if truth in PAIR else 1
        if (dtype, name) not in known:
            cases = [(source, case) for source in sources for case in SOURCES[source](row.name, dtype)]
            cases = [(source, case) for source, case in cases if len(case.inputs) == (2, 5)[neurons - 1]]
            results = _results(row, backend, dtype, name, [case for _, case in cases])
            known[dtype, name] = [(*case, got) for case, got in zip(cases, results, strict=True)]
        for source in sources:
            chosen = [(case, got) for of, case, got in known[dtype, name] if of == source and truth in case.truth]
            if not chosen:
                continue  # the reference tables lack what came after them, and unseen rows what is not drawn yet
            what = f"{row.name} {function} on {backend}"
            judged = _judge(what, dtype, FUNCTIONS[function], row.kinks, *zip(*chosen, strict=True))
            assert judged.judged > 0.6 * (judged.judged + sum(judged.excluded.values())), judged.excluded
            found[key(row.name, backend, dtype, function, source)] = judged
    assert found, f"{row.name} has no rows in tests/data: run python -m tests.draw_unseen {row.name}"
    return found


def normal_errors(backend):
    """Judge the bivariate normal distribution function, its logarithm and its derivatives."""
    found, module = {}, import_module(f"fastmoments_kernels.{backend}")
    for dtype, (function, (name, _, _)) in product(DTYPES, NORMAL.items()):
        cases = points.normal_table(dtype)
        results = _called(module.normal(name), [case.inputs for case in cases], dtype)
        what = f"{name} {function} on {backend}"
        judged = _judge(what, dtype, NORMAL[function], (), cases, results)
        found[key("bivariate_normal", backend, dtype, function)] = judged
    return found


def _judge(what, dtype, function, kinks, cases, results):
    _, output, truth = function
    eps, excluded, judged = float(np.finfo(dtype).eps), {}, []
    for case, result in zip(cases, results, strict=True):
        reason = points.why_excluded(case, truth, kinks, eps)
        if reason:
            excluded[reason] = excluded.get(reason, 0) + 1
        else:
            got = result if output is None else result[output]
            judged.append((error(got, *case.truth[truth], dtype), case, got))
    if not judged:
        return Worst(0.0, "", 0, excluded)
    most, case, got = max(judged, key=lambda found: found[0])
    value, cond = case.truth[truth]
    where = (
        f"{what} in {dtype}: {most:.3g} eps (1 + cond)\n"
        f"  inputs {case.inputs} {case.parameters or ''}\n"
        f"  got    {float(got)!r}\n  truth  {mp.nstr(value, 20)}, condition {mp.nstr(cond, 4)}\n"
        f"  {sum(e > BOUND for e, *_ in judged)} of {len(judged)} cases exceed {BOUND}; excluded: {excluded}"
    )
    return Worst(most, where, len(judged), excluded)


def _results(row, backend, dtype, name, cases):
    """Results for the cases, those with as many inputs together; of several outputs a tuple each."""
    elementwise = import_module(f"fastmoments_kernels.{backend}").elementwise
    inputs = [(*case.inputs, *points.numbers(row, case)) for case in cases]
    results = [None] * len(cases)
    for count in {len(x) for x in inputs}:
        members = [i for i, x in enumerate(inputs) if len(x) == count]
        numbers = _called(elementwise(row.name, name, count), [inputs[i] for i in members], dtype)
        for i, number in zip(members, numbers, strict=True):
            results[i] = number
    return results


def _called(function, inputs, dtype):
    """Results for the inputs, all at once; of several outputs a tuple each."""
    arrays = np.array(inputs, dtype=dtype).T
    with np.errstate(all="ignore"):
        found = function(*arrays, **_poisoned(function, arrays))
    for array in found if isinstance(found, tuple) else (found,):
        assert array.dtype == dtype, f"{function} returned {array.dtype} for {dtype}"
    return list(zip(*found, strict=True)) if isinstance(found, tuple) else found


def _poisoned(function, arrays):
    """Outputs full of nan for those that take any: an element that is not written shows."""
    if not isinstance(function, np.ufunc):
        return {}
    out = tuple(np.full_like(arrays[0], np.nan) for _ in range(function.nout))
    return {"out": out}


def key(name, backend, dtype, function, source=""):
    """Name a record of accuracy.json."""
    return "/".join(filter(None, (name, backend, dtype, function, source)))


def recorded():
    """Read accuracy.json."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def record(found):
    """Add errors, numbers by key, to accuracy.json; it is read again, for several processes may record at once."""
    known = recorded() | found
    RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
