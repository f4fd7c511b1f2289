"""The formulas' vocabulary at any precision: what `bind` needs to speak mpmath."""

from mpmath import mp


def _polynomial(coefficients, x):
    return mp.polyval(list(coefficients), x)


def _gauss_legendre(rule, integrand, context):
    return sum(weight * integrand(node, context) for node, weight in rule)


MPMATH = {
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "sqrt": mp.sqrt,
    "sin": mp.sin,
    "cos": mp.cos,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "erf": mp.erf,
    "erfc": mp.erfc,
    "isnan": mp.isnan,
    "absolute": abs,
    "minimum": min,
    "maximum": max,
    "where": lambda condition, yes, no: yes if condition else no,
    "either": lambda condition, yes, no, arguments: (yes if condition else no)(*arguments),
    "fma": lambda a, b, c: a * b + c,
    "difference_of_products": lambda a, b, c, d: a * b - c * d,
    "polynomial": _polynomial,
    "gauss_legendre": _gauss_legendre,
}
