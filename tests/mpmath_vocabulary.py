"""The formulas' vocabulary in mpmath, at any precision."""

from mpmath import mp


def _polynomial(coefficients, x):
    return mp.polyval(list(coefficients), x)


def _gauss_legendre(rule, integrand, context):
    return sum(weight * integrand(node, context) for node, weight in rule)


def _one_less(tail):
    """1 - tail to the digits of the tail, because integrands are differences of values near one."""
    with mp.workdps(mp.dps + min(400, max(0, -mp.mag(tail)) // 3)):
        return 1 - tail


def _cdf(x):
    tail = mp.erfc(abs(x) / mp.sqrt(2)) / 2
    return tail if x <= 0 else _one_less(tail)


def _erf(x):
    size = mp.erf(abs(x)) if abs(x) < 1 else _one_less(mp.erfc(abs(x)))
    return -size if x < 0 else size


MPMATH = {
    "exp": mp.exp,
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "sqrt": mp.sqrt,
    "sin": mp.sin,
    "cos": mp.cos,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "erf": _erf,
    "erfc": mp.erfc,
    "isnan": mp.isnan,
    # not words, but formulas' own are good to float64's digits only
    "cdf": _cdf,
    "absolute": abs,
    "minimum": min,
    "maximum": max,
    "where": lambda condition, yes, no: yes if condition else no,
    "either": lambda condition, yes, no, arguments: (yes if condition else no)(*arguments),
    "fma": lambda a, b, c: a * b + c,
    "unit": lambda x: mp.mpf(1),
    "difference_of_products": lambda a, b, c, d: a * b - c * d,
    "polynomial": _polynomial,
    "gauss_legendre": _gauss_legendre,
}
