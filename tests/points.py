"""The points at which functions are judged: the reference tables, and points drawn from seeds."""

import csv
import json
import math
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf

from tests.derivatives import PARTIALS, neuron_values

DATA = Path(__file__).parent / "data"
TABLES = {"float64": "reference.csv", "float32": "reference32.csv"}
UNSEEN = DATA / "unseen.csv"
BIVARIATE_NORMAL = DATA / "bivariate_normal.csv"

# public name: (name in the tables, its parameters' names there), where they differ
TABLE_NAMES = {
    "leaky_relu": ("leaky", {"alpha": "negative_slope"}),
    "sin": ("sine", {"w": "omega", "p": "phase"}),
    "cos": ("cosine", {"w": "omega", "p": "phase"}),
    "gaussian": ("gauss", {}),
    "gaussian_mixture": ("gmix", {"a": "weights", "b": "taus"}),
    "npn_linear": ("npnlin", {}),
    "bernoulli_probit": ("probit", {}),
}
INPUTS = ("mu1", "mu2", "v1", "v2", "c")
# the tables' columns for one neuron, for the pair, and for the pair with its neurons exchanged
_COLUMNS = (
    {"mean": "mean1", "gain": "cross1", "var": "var1", "var_d_mu": "dvar1_dmu1", "var_d_var": "dvar1_dv1"},
    {"cov": "cov", "d_mu_1": "dcov_dmu1", "d_var_1": "dcov_dv1", "d_cov_12": "dcov_dc"},
    {"cov": "cov", "d_mu_2": "dcov_dmu1", "d_var_2": "dcov_dv1", "d_cov_12": "dcov_dc"},
)

_OF_NEURON, _OF_PAIR = ("mean", "gain", "var"), ("cov", *PARTIALS)
UNSEEN_VALUES = (*_OF_NEURON, *_OF_PAIR)
NORMAL_INPUTS, NORMAL_VALUES = ("h", "k", "rho"), ("cdf", "log_cdf", "d_h", "d_k", "d_rho")


class Case(NamedTuple):
    """Inputs of one call, and by function name (value, condition number), mpf."""

    inputs: tuple
    parameters: dict
    truth: dict
    regime: str = ""


def table(name, dtype):
    """Cases of the reference table: neurons (mu, var), and pairs in either order."""
    old, renamed = TABLE_NAMES.get(name, (name, {}))
    cases = []
    with (DATA / TABLES[dtype]).open() as file:
        for row in csv.DictReader(file):
            if row["act"] == old:
                given = json.loads(row["params"])
                if old == "probit" and given:
                    row, given = _without_parameters(row, given, dtype), {}
                cases += _cases(row, {renamed.get(key, key): value for key, value in given.items()})
    return [_drawn(case) for case in cases] if name == "bernoulli_probit" else cases


def unseen_table(name, dtype):
    """Cases of tests/data/unseen.csv, of neurons and of pairs. Those exact in float32 are float64's too."""
    cases = []
    with UNSEEN.open() as file, mp.workdps(40):
        for row in csv.DictReader(file):
            if row["act"] != name or (dtype, row["exact_in"]) == ("float32", "float64"):
                continue
            mu_1, mu_2, var_1, var_2, cov_12 = (float(row[key]) for key in INPUTS)
            values = _values(row, UNSEEN_VALUES)
            for inputs, names in (((mu_1, var_1), _OF_NEURON), ((mu_1, mu_2, var_1, var_2, cov_12), _OF_PAIR)):
                truth = {key: values[key] for key in names}
                cases.append(Case(inputs, json.loads(row["params"]), truth, row["regime"]))
    return cases


def normal_table(dtype):
    """Cases (h, k, rho) of tests/data/bivariate_normal.csv; those exact in float32 are float64's too."""
    with BIVARIATE_NORMAL.open() as file, mp.workdps(40):
        return [
            Case(tuple(float(row[key]) for key in NORMAL_INPUTS), {}, _values(row, NORMAL_VALUES))
            for row in csv.DictReader(file)
            if dtype == "float64" or row["exact_in"] == "float32"
        ]


def _values(row, names):
    return {name: (mpf(row[name]), mpf(row[f"cond_{name}"])) for name in names}


def _without_parameters(row, given, dtype):
    """Turn a row of off + amp Phi(scale x + shift) into one of Phi(x): move inputs, divide results.

    Moved inputs are rounded where they are not exact in dtype. That costs half a unit at most, because the table's
    condition numbers count scale and shift among the inputs. The regime distinguishes such rows from exact ones.
    """
    (scale_1, scale_2), (shift_1, shift_2) = ([Fraction(x) for x in given[name]] for name in ("scale", "shift"))
    mu_1, mu_2, var_1, var_2, cov_12 = (Fraction(float(row[key])) for key in INPUTS)
    moved = (
        scale_1 * mu_1 + shift_1,
        scale_2 * mu_2 + shift_2,
        scale_1**2 * var_1,
        scale_2**2 * var_2,
        scale_1 * scale_2 * cov_12,
    )
    inputs = {key: float(np.dtype(dtype).type(x)) for key, x in zip(INPUTS, moved, strict=True)}
    with mp.workdps(40):
        (a, b), (s, t) = ([mpf(x) for x in given[name]] for name in ("amp", "scale"))
        factors = {"cross1": a * s, "var1": a * a, "dvar1_dmu1": a * a * s, "dvar1_dv1": a * a * s * s}
        factors |= {"cov": a * b, "dcov_dmu1": a * b * s, "dcov_dv1": a * b * s * s, "dcov_dc": a * b * s * t}
        results = {key: mpf(row[key]) / factor for key, factor in factors.items()}
    # mean - off has lost its digits in one tail
    kept = {key: value for key, value in row.items() if key != "mean1"}
    return kept | inputs | results | {"regime": row["regime"] + " moved"}


def _drawn(case):
    """Turn a case of probit into one of bernoulli_probit, whose variance is m - m^2 because 0 and 1 are squares."""
    if len(case.inputs) != 2:
        return case
    mu, var = map(mpf, case.inputs)
    # the digits that Phi(g) - Phi(g)^2 loses, and a few more
    with mp.workdps(40 + int(min(mu**2 / (1 + var) / 4, 400))):
        spread = mp.sqrt(1 + var)
        g = mu / spread
        hermite = (1, g, g**2 - 1, g**3 - 3 * g, g**4 - 6 * g**2 + 3)
        slopes = [(-1) ** n * he * mp.npdf(g) / spread ** (n + 1) for n, he in enumerate(hermite)]
        derivatives = [mp.ncdf(g), *slopes]
        values = neuron_values(mu, var, 0, 0, derivatives, derivatives)
    own = {name: values[name] for name in case.truth if name.startswith("var")}
    return case._replace(truth=case.truth | own)


def _cases(row, parameters):
    mu_1, mu_2, var_1, var_2, cov_12 = (float(row[key]) for key in INPUTS)
    shared = "weights" in parameters
    swapped = parameters if shared else {key: pair[::-1] for key, pair in parameters.items()}
    inputs = ((mu_1, var_1), (mu_1, mu_2, var_1, var_2, cov_12), (mu_2, mu_1, var_2, var_1, cov_12))
    with mp.workdps(40):
        return [
            Case(
                x,
                p,
                {name: (mpf(row[k]), mpf(row.get(f"cond_{k}", "nan"))) for name, k in columns.items() if k in row},
                row["regime"],
            )
            for x, p, columns in zip(inputs, (parameters, parameters, swapped), _COLUMNS, strict=True)
        ]


def numbers(row, case):
    """A case's parameters as a formula takes them: in order for a neuron, the two neurons' in turn for a pair.

    A parameter with several components (a mixture's weights) is several numbers.
    """
    pair, flat = len(case.inputs) == 5, []
    components = max((len(value) for key, value in case.parameters.items() if key in row.components), default=1)
    for field in fields(row.activation):
        if field.name in row.components:
            shared = case.parameters.get(field.name, [field.default] * components)
            flat += [x for value in shared for x in [value] * (1 + pair)]
        else:
            both = case.parameters.get(field.name, [field.default] * 2)
            flat += both if pair else both[:1]
    return flat


def why_excluded(case, name, kinks, eps):
    """Why a case cannot judge a function, or "" if it can."""
    value, cond = case.truth[name]
    if not mp.isfinite(value):
        return "undefined or infinite"
    if not mp.isfinite(cond):
        return "condition number unknown or infinite"
    if kinks and name.startswith("d_") and kinks_meet(case.inputs, kinks, eps):
        return "on a jump"
    return ""


def kinks_meet(inputs, kinks, eps):
    """Whether |rho| = 1 and rounding decides which neuron passes its kink first: derivatives jump there.

    Duplicates and mirror images do not count: their standardised means are equal to the last bit.
    """
    mu_1, mu_2, var_1, var_2, cov_12 = map(Fraction, inputs)
    if cov_12 == 0 or cov_12**2 < var_1 * var_2:
        return False
    sign = 1 if cov_12 > 0 else -1
    if var_1 == var_2 and mu_1 == sign * mu_2:
        return False
    sd_1, sd_2 = math.sqrt(var_1), math.sqrt(var_2)
    places = [((k - float(mu_1)) / sd_1, sign * (m - float(mu_2)) / sd_2) for k in kinks for m in kinks]
    return any(abs(a - b) <= 8 * eps * (1 + abs(a) + abs(b)) for a, b in places)


KINDS = ("plain", "tail", "near_one", "exactly_one", "duplicate", "weak", "mixed_scales")


def unseen(seed, dtype, kind, count):
    """Pairs (mu_1, mu_2, var_1, var_2, cov_12) of a kind, as Python floats that are exact in dtype."""
    draw = _Draw(np.random.default_rng([seed, KINDS.index(kind)]), np.dtype(dtype).type)
    return [getattr(draw, kind)() for _ in range(count)]


class _Draw:
    """Random pairs whose numbers are exact in a dtype, with cov_12^2 <= var_1 var_2 exactly."""

    def __init__(self, rng, dtype):
        self.rng, self.dtype = rng, dtype
        self.wide = dtype is np.float64

    def pair(self, h, k, rho, var_1, var_2):
        sd_1, sd_2 = math.sqrt(var_1), math.sqrt(var_2)
        mu_1, mu_2, var_1, var_2, cov_12 = (
            float(self.dtype(x)) for x in (h * sd_1, k * sd_2, var_1, var_2, rho * sd_1 * sd_2)
        )
        while Fraction(cov_12) ** 2 > Fraction(var_1) * Fraction(var_2):
            cov_12 = float(np.nextafter(self.dtype(cov_12), self.dtype(0)))
        return mu_1, mu_2, var_1, var_2, cov_12

    def power(self, low, high):
        return float(10 ** self.rng.uniform(low, high))

    def sign(self):
        return float(self.rng.choice([-1, 1]))

    def means(self, scale=1.2):
        return (float(x) for x in scale * self.rng.standard_normal(2))

    def variances(self):
        return self.power(-1, 1), self.power(-1, 1)

    def plain(self):
        return self.pair(*self.means(), self.rng.uniform(-0.97, 0.97), *self.variances())

    def tail(self):
        h, k = (self.sign() * self.rng.uniform(3, 20 if self.wide else 8) for _ in range(2))
        return self.pair(h, k, self.rng.uniform(-0.97, 0.97), *self.variances())

    def near_one(self):
        rho = self.sign() * (1 - self.power(-14 if self.wide else -6, -2))
        h, k = self.means()
        if self.rng.random() < 0.5:
            k = math.copysign(1, rho) * h + self.power(-6, -1)
        return self.pair(h, k, rho, *self.variances())

    def exactly_one(self):
        """Return a pair whose standard deviations have few bits: their squares and product are exact."""
        sd_1, sd_2 = (math.ldexp(int(self.rng.integers(129, 256)), int(self.rng.integers(-12, -4))) for _ in "12")
        mu_1, mu_2 = (float(self.dtype(z * sd)) for z, sd in zip(self.means(), (sd_1, sd_2), strict=True))
        return mu_1, mu_2, sd_1**2, sd_2**2, self.sign() * sd_1 * sd_2

    def duplicate(self):
        var, sign = float(self.dtype(self.power(-2, 2))), self.sign()
        mu = float(self.dtype(math.sqrt(var) * next(self.means())))
        return mu, sign * mu, var, var, sign * var

    def weak(self):
        return self.pair(*self.means(), self.sign() * self.power(-12, -2), *self.variances())

    def mixed_scales(self):
        var_1, var_2 = self.power(-8, -4), self.power(2, 6)
        return self.pair(*self.means(), self.rng.uniform(-0.97, 0.97), var_1, var_2)
