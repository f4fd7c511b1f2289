"""Takes a new activation through CONTRIBUTING's recipe: what is missing, its truth, and how far it is from that.

usage: python -m tests.new_activation NAME         as `make activation NAME=...` does

Draws the activation's rows of tests/data/unseen.csv if there are none or f has changed since, and judges every
function on the cpu by them, what a gradient needs included. The errors go into tests/accuracy.json if all are
within the bound. Ends with 1 if one is not, or if something is missing.
"""

import sys

import numpy as np
from mpmath import mp
from tqdm import tqdm

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import has_series, interface_of
from fastmoments_kernels.formulas.order import order_of
from tests import conformance, draw_unseen, points, recipe, truth
from tests.conformance import BOUND, DTYPES, FUNCTIONS, SLOPES
from tests.derivatives import PARTIALS
from tests.record_accuracy import rounded
from tests.rows import numbers

# The formula's functions that ours are made of, where names differ
MADE_OF = dict(zip(PARTIALS, ("cov_10", "cov_10", "cov_20", "cov_20", "product_11"), strict=True))
# An ordinary pair, for what has no truth of its own but that of the functions judged
PAIR = (0.3, -0.6, 0.8, 1.7, 0.5)
# Of rho^n at PAIR's 0.43 nothing is left after so many terms
TERMS = 48
# Central differences of numbers good to 1e-15, at a step of 1e-5
STEP, NEAR = 1e-5, 1e-6


def main(name, backend="cpu"):
    """Print what is missing and wrong; return whether there is nothing."""
    needed = recipe.without_which_nothing_runs(name)
    if needed:
        _say("Missing, and nothing runs without:", needed)
        return False
    row = row_of(name)
    neurons = truth_of(row)
    judged = conformance.errors(row, backend, progress=_bar(f"{name} on {backend}"))
    slopes = {
        conformance.key(name, backend, dtype, function): conformance.worst(row, backend, dtype, function, cases)
        for dtype, cases in neurons.items()
        for function in SLOPES
    }
    print(table(row, backend, judged | slopes))
    wrong = worst_of_each(judged | slopes) + inconsistent(row)
    if wrong:
        _say("Wrong; nothing is recorded:", wrong)
    else:
        conformance.record({key: rounded(worst) for key, worst in judged.items()})
        print(f"\nAll are within {BOUND}; recorded in tests/accuracy.json.")
    _say("Left out, which a formula may:", recipe.left_out(name))
    missing = recipe.missing(name)
    _say("Missing:", missing)
    return not wrong and not missing


def worst_of_each(judged):
    """List the worst place of each of the formula's functions that is beyond the bound."""
    found = {}
    for key, worst in sorted(judged.items(), key=lambda item: item[1].error):
        if worst.error > BOUND:
            function = key.split("/")[3]
            found[MADE_OF.get(function, (FUNCTIONS | SLOPES)[function][2])] = worst.where
    return list(found.values())


def truth_of(row):
    """Each dtype's neurons with all their truth; rows are drawn if there are none, or if f has changed since."""
    if not points.unseen_table(row.name, "float64"):
        draw_unseen.main([row.name])
    found = _neurons(row)
    if any(_differ(case.truth[name], want[name]) for case, want in found for name in case.truth):
        print(f"tests/data/unseen.csv: its rows are of another {row.name}; they are drawn again.")
        draw_unseen.main([row.name])
        found = _neurons(row)
    cases = {case.inputs: case._replace(truth=want) for case, want in found}
    tables = {dtype: points.unseen_table(row.name, dtype) for dtype in DTYPES}
    return {dtype: [cases[c.inputs] for c in table if c.inputs in cases] for dtype, table in tables.items()}


def _neurons(row):
    """(case, its truth anew) of every neuron drawn."""
    f = truth.activation(row)
    cases = [case for case in points.unseen_table(row.name, "float64") if len(case.inputs) == 2]
    bar = _bar(f"slopes of {row.name}")
    return [(case, truth.neuron_truth(f, *case.inputs, draw_unseen.DIGITS)) for case in bar(cases)]


def _differ(old, new):
    with mp.workdps(40):
        return abs(old[0] - new.value) > mp.mpf(10) ** (2 - draw_unseen.DIGITS) * abs(new.value)


def table(row, backend, judged):
    """The worst error of every function in either dtype, a line each."""
    title = f"{row.name} on {backend}, worst error in eps (1 + cond); the contract is {BOUND}"
    lines = ["", title, f"{'':16}{'of the formula':18}" + "".join(f"{dtype:>10}" for dtype in DTYPES)]
    for function, (name, _, _) in (FUNCTIONS | SLOPES).items():
        errors = [
            max(worst.error for key, worst in judged.items() if key.split("/")[2:4] == [dtype, function])
            for dtype in DTYPES
        ]
        cells = "".join(f"{error:10.3g}" for error in errors)
        mark = "" if max(errors) <= BOUND else "   too large"
        lines.append(f"{function:16}{MADE_OF.get(function, name):18}{cells}{mark}")
    return "\n".join(lines)


def inconsistent(row):
    """Lines about series and derivatives along parameters that do not fit the functions judged, on NumPy."""
    with np.errstate(all="ignore"):
        return [*_series(row), *_along_parameters(row)]


def _series(row):
    f = interface_of(row.formula)
    if not has_series(row.formula):
        return
    one, two, cov_12 = _pair(row, numbers(row.name))
    sides = [_coefficients(f, one), _coefficients(f, two)]
    rho = cov_12 / np.sqrt(one[1] * two[1])
    got = sum(rho**n * a * b for n, (a, b) in enumerate(zip(*sides, strict=True), 1))
    want = f["cov"](one, two, cov_12, 0.0)
    if not abs(got - want) <= NEAR * np.sqrt(f["var"](one) * f["var"](two)):
        yield f"series, series_step, coefficient: sum rho^n b_n b_n is {float(got)!r} where cov is {float(want)!r}"


def _coefficients(f, neuron):
    """b_1 ... of a neuron."""
    before, last, this = f["series"](neuron)
    found = [
        f["coefficient"](order_of(1.0), neuron, last, before, 0.0),
        f["coefficient"](order_of(2.0), neuron, this, last, before),
    ]
    for n in range(3, TERMS):
        last, this, before = this, f["series_step"](order_of(float(n)), neuron, this, last), last
        found.append(f["coefficient"](order_of(float(n)), neuron, this, last, before))
    return found


def _along_parameters(row):
    f, given = interface_of(row.formula), numbers(row.name)
    (one, two, cov_12), steps = _pair(row, given), np.diag(np.full(len(given), STEP))
    for name, value in {
        "mean": lambda neuron: f["mean"](neuron),
        "var": lambda neuron: f["var"](neuron),
        "cov": lambda neuron: f["cov"](neuron, two, cov_12, 0.0),
    }.items():
        own = (one, two, cov_12, 0.0) if name == "cov" else (one,)
        got = [float(slope) for slope in f[f"{name}_dparameters"](*own)]
        sides = [[value(_pair(row, np.add(given, sign * step))[0]) for sign in (1, -1)] for step in steps]
        want = [float(above - below) / (2 * STEP) for above, below in sides]
        if len(got) != len(want) or not np.allclose(got, want, rtol=NEAR, atol=NEAR):
            yield f"{name}_dparameters: {got} where {name} has the slopes {want}"


def _pair(row, parameters):
    """PAIR's features, of two neurons with the same parameters, and covariance."""
    mu_1, mu_2, var_1, var_2, cov_12 = map(np.float64, PAIR)
    neuron, given = interface_of(row.formula)["neuron"], tuple(map(np.float64, parameters))
    return neuron(mu_1, var_1, given), neuron(mu_2, var_2, given), cov_12


def _bar(what):
    return lambda cases: tqdm(cases, desc=what)


def _say(title, lines):
    if lines:
        print(f"\n{title}", *(f"* {line}" for line in lines), sep="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make activation NAME=...")
    sys.exit(not main(sys.argv[1]))
