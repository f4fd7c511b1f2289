"""Numbers to digits that no longer change as the working precision rises."""

from mpmath import mp, mpf

from tests.derivatives import Value

# Float64's smallest number is 5e-324: below this the truth is zero.
ZERO = mpf(10) ** -340


def settled(evaluate, variants, digits, lost, limits=False, wanted=None):
    """Raise the working digits until two evaluations agree, so that no cancellation goes unnoticed.

    The variants compute the same numbers; where one cancels too much, another may not. `wanted` are names, or all.
    """
    agreed = _limit if limits else _same
    found = {}
    attempts = [(variant, (5, 10, 20)) for variant in variants]
    for variant, extras in [*attempts, (variants[0], (30, 50, 80, 120, 180, 260))]:
        before = {}
        for extra in extras:
            working = 5 * ((digits + lost) // 5) + extra
            with mp.workdps(working + 20):
                now = evaluate(variant, working)
            for name in set(before) - set(found):
                value = agreed(before[name], now[name], digits)
                found |= {} if value is None else {name: value}
            if set(found) >= set(wanted or now):
                return found
            before = now
    raise ArithmeticError(f"no {digits} digits of {set(now) - set(found)}")


def _same(a, b, digits):
    return b if _agree(a.value, b.value, digits) else None


def _limit(a, b, digits):
    """The limit of differences with a shrinking step: 0 or inf if they shrink or grow with it."""
    if abs(b.value) < abs(a.value) / 8:
        return Value(mpf(0), mpf(0))
    if abs(b.value) > abs(a.value) * 8:
        return Value(mp.inf, mp.inf)
    return _same(a, b, digits)


def _agree(a, b, digits):
    return abs(a - b) <= mpf(10) ** -digits * abs(b) or max(abs(a), abs(b)) < ZERO
