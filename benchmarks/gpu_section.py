"""The page's part on cards: the times of a run, or without one what can be counted of the kernels."""

import json
from pathlib import Path
from typing import Any

SECTION = """## On a GPU

{measured}

### Counted

The counts are read from the kernels' code, in numbers of the arrays' dtype.

| kernel | for | read and written | computed |
|---|---|---|---|
{counted}

### Instructions

`tools/gpu_counts.py` counts them in the machine code ({versions}), and says how: those that a warp issues for a
tile of 64 x 64 pairs (float32) or 32 x 32 (float64), by 4 or 8 warps; in `pairs_beyond`, for 32 pairs. A tile takes
8 terms of relu's series for the data "typical" at n = 8192 and 64 for "strong", in float64 16 and 128. To list the
pairs beyond the series takes more instructions of the tiles that have any. Programs are those that share a
multiprocessor, bytes those of most loads and stores of a thread. "n" is what is known when the kernel is compiled:
that it is any number, a multiple of 16, or 1.

To list and compute the pairs beyond the series, if they are .9 % in float32 and 1.4 % in float64, takes {float32}
and {float64} times the instructions of the series, on sm_90 for n a multiple of 16. Strong data have .6 and 1.4 %.

| kernel | dtype | n | target | registers | programs | typical | strong | listing | bytes a load | a store |
|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|
{instructions}

### Compiled

`tools/gpu_check.py` ({versions}) compiles the kernels, which needs no card. The table shows the registers per
thread, none of which may be spilled, and the bytes of shared memory per program.

| kernel | activation | dtype | target | threads | registers | spilled bytes | shared bytes |
|---|---|---|---|--:|--:|--:|--:|
{compiled}
"""
TILES = {"float32": 64, "float64": 32}
BEYOND = {"float32": 0.009, "float64": 0.014}
COUNTED = (
    (
        "neurons",
        "n neurons",
        "mu, variances; mean, variance, features and N + 2 coefficients each",
        "a step of the recurrence per coefficient, in float64; N = n / 2, at most 64 (float32) or 128 (float64)",
    ),
    (
        "pairs_whole, pairs_edges",
        "an n x n matrix",
        "n^2 / 2 and n^2; a number of 2 bytes per pair beyond the series",
        "a multiply and a multiply-add per term and pair, 8 to N terms by the tile",
    ),
    (
        "pairs_beyond",
        "the listed pairs",
        "covariance and features of two neurons per pair; 2 per pair",
        "the formula",
    ),
    (
        "pairs_vjp_whole, pairs_vjp_edges",
        "its gradient",
        "n^2 / 2 of cov and n^2 of cov_bar; n^2, and n per tile of a row and of a column",
        "two to five operations per term and pair",
    ),
    (
        "linear",
        "B rows, n inputs, m outputs",
        "each tile of inputs and weights once for three products; 2 B m, bfloat16 by way of float32",
        "6 B n m of the products; the activation's mean and variance per output",
    ),
    (
        "skip",
        "an n x n matrix",
        "K and C cov C^T by one triangle, A cov C^T by both: 2 n^2; n^2 in place",
        "two multiplies and three additions per pair",
    ),
)
MEASURED = """{card} ({architecture}), {date}; {versions}. Medians after warm-up, both sides of a ratio
in the same run.

| what | ms | over | ms | **ratio** | to reach |
|---|--:|---|--:|--:|--:|
{rows}
{failures}
Worst error of the element-wise functions over the 50-digit tables, in eps (1 + cond):

| activation | float32 | float64 |
|---|--:|--:|
{errors}"""
NO_CARD = """**No card has run this yet.** The kernels are interpreted against the 50-digit tables and compiled for
three architectures; `make gpu-bench` measures them on a card. The tables below need no card."""


def section(results: Path) -> str:
    """The section, from gpu-registers.json and the newest run of each card, if there is one."""
    runs = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    newest = {run["card"]: run for run in runs if "card" in run}
    measured = "\n\n".join(_measured(run) for run in newest.values()) or NO_CARD
    registers = json.loads((results / "gpu-registers.json").read_text())
    instructions = json.loads((results / "gpu-counts.json").read_text())
    counted = "\n".join(f"| {' | '.join(row)} |" for row in COUNTED)
    parts = {
        "versions": _versions(registers),
        "compiled": _compiled(registers),
        "instructions": _instructions(instructions),
    }
    parts |= {dtype: f"{_beyond_over_series(instructions, dtype):.2f}" for dtype in BEYOND}
    return SECTION.format(measured=measured, counted=counted, **parts)


def _measured(run: dict[str, Any]) -> str:
    lines = [
        f"| {row['what']} | {_number(row, 'ms')} | {row['reference']} | {_number(row, 'reference_ms')} "
        f"| **{_number(row, 'ratio')}** | {row['goal']:g} |"
        for row in run["rows"]
    ]
    errors = [
        f"| {name} | {_number(of, 'float32')} | {_number(of, 'float64')} |" for name, of in run["accuracy"].items()
    ]
    parts = {"card": run["card"], "architecture": run["architecture"], "date": run["date"]}
    failed = [*run["rows"], *({"what": name} | of for name, of in run["accuracy"].items())]
    failures = [f"* {row['what']}: `{row['failed']}`" for row in failed if "failed" in row]
    shown = "\n".join(["", "What failed:", "", *failures, ""]) if failures else ""
    tables = {"rows": "\n".join(lines), "errors": "\n".join(errors), "failures": shown}
    return MEASURED.format(**parts, **tables, versions=_versions(run))


def _number(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "failed" if value is None else f"{value:.3g}"


def _compiled(registers: dict[str, Any]) -> str:
    lines = [
        f"| {row['kernel']} | {row['activation']} | {row['dtype']} | {row['target']} | {32 * row['warps']} "
        f"| {row['registers']} | {row['spilled']} | {row['shared']} |"
        for row in registers["rows"]
    ]
    return "\n".join(lines)


def _instructions(results: dict[str, Any]) -> str:
    lines = []
    for row in results["rows"]:
        of, known = row["counts"], {"any": "any", "16": "16 k", "1": "1"}[row["size"]]
        lines.append(
            f"| {row['kernel']} | {row['dtype']} | {known} | {row['target']} | {row['registers']} "
            f"| {row['programs']} | {of['typical']:,} | {of['strong']:,} | {of['listing']:,} "
            f"| {of['load']} | {of['store']} |"
        )
    return "\n".join(lines)


def _beyond_over_series(results: dict[str, Any], dtype: str) -> float:
    """Instructions for the pairs beyond the series over those for the series, of a tile of strong data."""
    wanted = {"target": "sm_90", "size": "16", "dtype": dtype}
    rows = {row["kernel"]: row for row in results["rows"] if wanted.items() <= row.items()}
    whole, beyond = rows["pairs_whole"], rows["pairs_beyond"]
    pairs = BEYOND[dtype] * TILES[dtype] ** 2
    listed = whole["warps"] * whole["counts"]["listing"] + pairs / 32 * beyond["counts"]["strong"]
    return float(listed / (whole["warps"] * whole["counts"]["strong"]))


def _versions(entry: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry["versions"].items())
