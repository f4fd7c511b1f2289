"""Tables and numbers of the pages."""

from collections.abc import Iterable, Sequence

import numpy as np


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def scientific(value: float) -> str:
    """1.2e-3; no density, where a divergence is infinite."""
    return _exponent(f"{value:.1e}") if np.isfinite(value) else "inf"


def factor(value: float) -> str:
    """A ratio: two digits, and a power of ten from 10,000 on."""
    return f"{float(f'{value:.2g}'):,.12g}" if 1e-3 < value < 1e4 else scientific(value)


def _exponent(text: str) -> str:
    digits, _, power = text.partition("e")
    return f"{digits}e{int(power)}" if int(power) else digits
