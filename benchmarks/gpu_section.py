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

`tools/gpu_counts.py` counts relu's in the machine code ({versions}), and says how: those that a warp of a program
issues at n = 8192, by 4 or 8 warps for a tile of 64 x 64 pairs (float32) or 32 x 32 (float64). "Typical" and
"strong" are the data above; "terms" are those that the series of most typical tiles takes, and the most that one of
strong data may. The kernel "neurons" computes all, forward under "typical", backward under "strong". "Beyond" comes
on top: in kernels of tiles, to list a tile's pairs beyond the series; in kernels that work the list off, to compute
32 of its pairs, to add those of a program's tiles, or to compute a program's tiles if each is overfull. "A pair" is
a thread's share of the instructions, typical or, of the list, beyond. Programs are those that share a
multiprocessor, "load" and "store" the bytes that most loads and stores of a thread move. No register is
spilled{spilled}, and no instruction approximates{approximate}. "n" is what is known when a kernel is compiled: that
it is any number, a multiple of 16, or 1, for which the counts are those of that one matrix.

| kernel | dtype | n | target | registers | programs | terms | typical | strong | beyond | a pair | load | store |
|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{instructions}

### Passes

All kernels of a pass over a matrix of 8192 neurons together, on sm_90: terms that a tile's series takes on average,
the share of pairs beyond it, and of tiles that list any; instructions of all warps, of these the share of the
neurons' kernel, and those that list and compute pairs beyond over those of the series; bytes that programs read and
write, whatever caches hold.

| data | dtype | pass | terms | beyond | tiles | instructions, 10^6 | neurons | beyond / series | bytes, 10^6 |
|---|---|---|--:|--:|--:|--:|--:|--:|--:|
{passes}

Backward over forward, listed pairs included:

| data | dtype | instructions | bytes |
|---|---|--:|--:|
{ratios}

### Compiled

`tools/gpu_check.py` ({versions}) compiles the kernels, which needs no card. The table shows the registers per
thread, none of which may be spilled, and the bytes of shared memory per program.

| kernel | activation | dtype | target | threads | registers | spilled bytes | shared bytes |
|---|---|---|---|--:|--:|--:|--:|
{compiled}
"""
TILES = {"float32": 64, "float64": 32}
COUNTED = (
    (
        "neurons",
        "n neurons",
        "mu, variances; mean, variance, features and N + 2 coefficients each",
        "a step of a recurrence per coefficient, in float64; N = n / 2, at most 64 (float32) or 128 (float64), "
        "backward 96 or 128",
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

| what | ms | over | ms | **ratio** | goal |
|---|--:|---|--:|--:|--:|
{rows}
{failures}
Worst error of the element-wise functions over the 50-digit tables, in eps (1 + cond):

| activation | float32 | float64 |
|---|--:|--:|
{errors}"""
NO_CARD = """**No card has run this yet.** The kernels are interpreted against the 50-digit tables and compiled for
three architectures; `make gpu-bench` measures them on a card. The tables below need no card."""


def cards(results: Path) -> str:
    """A sentence: which cards have run the kernels."""
    runs = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    names = sorted({run["card"] for run in runs if "card" in run})
    if names:
        return f"The CUDA kernels were measured on {', '.join(names)}."
    return "No card has run the CUDA kernels yet."


def section(results: Path) -> str:
    """The section, from what was counted and compiled, and the newest run of each card, if there is one."""
    runs = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    newest = {run["card"]: run for run in runs if "card" in run}
    measured = "\n\n".join(_measured(run) for run in newest.values()) or NO_CARD
    registers = json.loads((results / "gpu-registers.json").read_text())
    instructions = json.loads((results / "gpu-counts.json").read_text())
    passes = json.loads((results / "gpu-pass.json").read_text())["rows"]
    counted = "\n".join(f"| {' | '.join(row)} |" for row in COUNTED)
    parts = {
        "versions": _versions(registers),
        "compiled": _compiled(registers),
        "instructions": _instructions(instructions),
        "spilled": _unless_none(instructions, "spilled"),
        "approximate": _unless_none(instructions, "approximate"),
        "passes": _passes(passes),
        "ratios": _ratios(passes),
    }
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
            f"| {row['programs']} | {_terms(row)} | {of['typical']:,} | {of['strong']:,} | {of['beyond']:,} "
            f"| {_of_pair(row)} | {of['load']} | {of['store']} |"
        )
    return "\n".join(lines)


def _terms(row: dict[str, Any]) -> str:
    """The terms that were counted, for data typical and strong, of kernels that depend on them."""
    summed = row["kernel"] == "neurons" or row["kernel"].startswith(("pairs_whole", "pairs_edges", "pairs_vjp"))
    return ", ".join(map(str, dict.fromkeys(row["counts"]["terms"]))) if summed else ""


def _of_pair(row: dict[str, Any]) -> str:
    """A thread's instructions for a pair."""
    kernel, of = row["kernel"], row["counts"]
    if kernel in ("pairs_beyond", "cov_beyond", "beyond_mu", "beyond_var"):
        return f"{of['beyond']:,}"
    if not kernel.startswith("pairs_") or row["size"] == "1":
        return ""
    return f"{32 * row['warps'] * of['typical'] / TILES[row['dtype']] ** 2:.0f}"


def _unless_none(results: dict[str, Any], name: str) -> str:
    """Name the kernels that spill or approximate, for the page; nothing if there are none."""
    found = [f"{row['kernel']} {row['dtype']} {row['target']}" for row in results["rows"] if row[name]]
    return f" (but in {', '.join(found)})" if found else ""


def _passes(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        of = row["instructions"]
        series = sum(of[name] for name in of if name.startswith("pairs_") and name != "pairs_beyond")
        beyond = sum(of[name] for name in of if "beyond" in name or name == "listing") / series
        lines.append(
            f"| {row['data']} | {row['dtype']} | {row['direction']} | {row['terms']:.3g} | {row['pairs']:.2%} "
            f"| {row['listing']:.0%} | {_millions(row):,.0f} | {of['neurons'] / 1e6 / _millions(row):.1%} "
            f"| {beyond:.2f} | {row['bytes'] / 1e6:,.0f} |"
        )
    return "\n".join(lines)


def _millions(row: dict[str, Any]) -> float:
    return float(sum(row["instructions"].values())) / 1e6


def _ratios(rows: list[dict[str, Any]]) -> str:
    found = {(row["data"], row["dtype"], row["direction"]): row for row in rows}
    lines = []
    for data, dtype in dict.fromkeys((row["data"], row["dtype"]) for row in rows):
        forward, backward = (found[data, dtype, direction] for direction in ("forward", "backward"))
        instructions, moved = _millions(backward) / _millions(forward), backward["bytes"] / forward["bytes"]
        lines.append(f"| {data} | {dtype} | {instructions:.2f} | {moved:.2f} |")
    return "\n".join(lines)


def _versions(entry: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry["versions"].items())
