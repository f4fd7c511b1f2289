"""Writes tests/data/unseen.csv: rows that no formula was tuned on, with truth by integrating the definition.

usage: python -m tests.draw_unseen [--seed N] [activation ...]       all if none is given

Those that are not named keep their rows. A pair of every kind of `points.KINDS` is exact in float32 and so judged
in both dtypes, and one has all of float64's digits where |rho| < 1. Parameters have their defaults, and condition
numbers are along the inputs alone.
"""

import argparse
import csv
import json
from itertools import product
from math import inf

from mpmath import mp
from tqdm import tqdm

from fastmoments_kernels.catalogue import CATALOGUE
from tests import points, truth
from tests.rows import EXAMPLES

SEED = 20261129
# 1e-18 is a two-hundredth of float64's eps.
DIGITS = 18
ON_LINE = ("exactly_one", "duplicate")
PAIRS = [
    (exact_in, kind)
    for exact_in, kind in product(("float32", "float64"), points.KINDS)
    if exact_in == "float32" or kind not in ON_LINE
]
# Variances of which an integral over a wave still has few enough periods.
WIDEST = {"sin": 400.0, "cos": 400.0}


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("activation", nargs="*")
    given = parser.parse_args(arguments)
    chosen = [row for row in CATALOGUE if not given.activation or row.name in given.activation]
    for row in chosen:
        seed = given.seed + CATALOGUE.index(row)
        drawn = [line(row, seed, *pair) for pair in tqdm(PAIRS, desc=f"truth of {row.name}", unit="pair")]
        kept = [old for old in read() if old["act"] != row.name]
        order = [row.name for row in CATALOGUE]
        write(sorted(kept + drawn, key=lambda found: order.index(found["act"])))


def line(row, seed, exact_in, kind):
    """A line of the table: a pair, what is true of it, and of its first neuron."""
    f, parameters = truth.activation(row), json.dumps(EXAMPLES.get(row.name, {}))
    drawn = points.unseen(seed, exact_in, kind, 10)
    pair = next(pair for pair in drawn if max(pair[2:4]) <= WIDEST.get(row.name, inf))
    found = truth.neuron_truth(f, pair[0], pair[2], DIGITS) | truth.pair_truth(f, f, *pair, DIGITS)
    made = {"act": row.name, "params": parameters, "exact_in": exact_in, "regime": kind}
    made |= dict(zip(points.INPUTS, map(repr, pair), strict=True))
    for name in points.UNSEEN_VALUES:
        made |= {name: mp.nstr(found[name].value, 25), f"cond_{name}": mp.nstr(found[name].cond, 4)}
    return made


def read():
    if not points.UNSEEN.exists():
        return []
    with points.UNSEEN.open() as file:
        return list(csv.DictReader(file))


def write(lines):
    with points.UNSEEN.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main(None)
