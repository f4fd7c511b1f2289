"""Tables, numbers and lines of the pages."""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def wrapped(page: str) -> str:
    """Text with paragraphs and points wrapped; tables, headings, figures and code unchanged."""
    parts = page.split("```")
    parts[::2] = ["\n\n".join(_wrapped_block(block) for block in part.split("\n\n")) for part in parts[::2]]
    return "```".join(parts)


def _wrapped_block(block: str) -> str:
    if block.startswith(("|", "#", "!", "\n")) or not block.strip():
        return block
    end = "\n" * (len(block) - len(block.rstrip("\n")))
    points = [" ".join(point.split()) for point in ("\n" + block).split("\n* ")]
    lines = [_fill(points[0])] if points[0] else []
    return "\n".join([*lines, *("* " + _fill(point, "  ") for point in points[1:])]) + end


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 115, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def scientific(value: float) -> str:
    """A number as 1.2e-3; "inf" for an infinite divergence, where a method has no density."""
    return _exponent(f"{value:.1e}") if np.isfinite(value) else "inf"


def factor(value: float) -> str:
    """A ratio with two digits, as a power of ten from 10,000 on."""
    return f"{float(f'{value:.2g}'):,.12g}" if 1e-3 < value < 1e4 else scientific(value)


def _exponent(text: str) -> str:
    digits, _, power = text.partition("e")
    return f"{digits}e{int(power)}" if int(power) else digits
