"""Count instructions and bytes of a pass over relu's matrix of n = 8192 neurons, forward and backward, on sm_90.

Instructions are those that the warps of all programs issue, by gpu-counts.json and the tiles of gpu-terms.json.
Bytes are those that programs read from arrays and write to them, tables of coefficients among them, whatever caches
hold.

usage: python -m benchmarks.gpu_pass       writes benchmarks/results/gpu-pass.json
"""

import json
from typing import Any, NamedTuple

import torch

from benchmarks.gpu import RESULTS, SIZES
from benchmarks.gpu_parts import write
from fastmoments_kernels.gpu.matrices import GROUP, LAYOUTS, PROGRAMS, SWEEP, features_of
from fastmoments_kernels.gpu.matrices_vjp import BLOCK, LAYOUTS_VJP

ACTIVATION, TARGET, N = "relu", "sm_90", SIZES.matrix
OF_WARP = 32  # pairs of the list
DIRECTIONS = ("forward", "backward")


class Tiles(NamedTuple):
    """A matrix's tiles of a dtype in a pass: how many, and of gpu-terms.json what they take on average."""

    tile: int
    side: int
    terms: float
    listing: float
    listed: float

    @property
    def count(self) -> int:
        return self.side * (self.side + 1) // 2

    @property
    def programs(self) -> int:
        """The programs that work the list off, of four warps."""
        groups = -(-self.count // GROUP)
        return groups * -(-PROGRAMS // groups)


def tiles_of(row: dict[str, Any]) -> Tiles:
    """The tiles of a row of gpu-terms.json."""
    numbers = {int(terms): count for terms, count in row["tiles"].items()}
    tile = LAYOUTS[row["dtype"]].tile
    mean = sum(terms * count for terms, count in numbers.items()) / sum(numbers.values())
    return Tiles(tile, N // tile, mean, row["listing"], row["pairs"] * N * (N - 1) / 2)


def instructions(dtype: str, direction: str, tiles: Tiles, counts: dict[str, Any]) -> dict[str, float]:
    """The instructions of all warps by kernel, those that list pairs apart; `counts` are rows by kernel."""
    most = (LAYOUTS if direction == "forward" else LAYOUTS_VJP)[dtype].terms
    kinds = ("pairs_whole", "pairs_edges") if direction == "forward" else ("pairs_vjp_whole", "pairs_vjp_edges")
    found = {"neurons": tiles.side * by_terms(counts["neurons"], most), "listing": 0.0}
    for kind, number in zip(kinds, (tiles.count - tiles.side, tiles.side), strict=True):
        found[kind] = number * by_terms(counts[kind], tiles.terms)
        found["listing"] += number * tiles.listing * counts[kind]["warps"] * counts[kind]["counts"]["beyond"]
    blocks = tiles.listed / OF_WARP
    if direction == "forward":
        return found | {"pairs_beyond": of_list(counts["pairs_beyond"], tiles.programs, blocks)}
    found["derivatives"] = tiles.side * (most // SWEEP + 1) * by_terms(counts["derivatives"], most)
    found["collect"] = N // BLOCK * by_terms(counts["collect"], most)
    found["cov_beyond"] = of_list(counts["cov_beyond"], tiles.programs, blocks)
    for along in ("mu", "var"):  # each pair is computed with its neurons exchanged, too; no tile is overfull
        found[f"beyond_{along}"] = of_list(counts[f"beyond_{along}"], 2 * tiles.programs, 2 * blocks)
        found[f"overfull_{along}"] = of_list(counts[f"overfull_{along}"], PROGRAMS, 0.0)
    adding = counts["add_beyond"]
    of_tiles = PROGRAMS * tiles.listing * adding["warps"]
    return found | {"add_beyond": of_list(adding, PROGRAMS, of_tiles)}


def by_terms(row: dict[str, Any], terms: float) -> float:
    """A program's instructions, between those counted for the fewest and for the most terms."""
    typical, strong = row["counts"]["typical"], row["counts"]["strong"]
    low, high = row["counts"]["terms"]
    slope = (strong - typical) / (high - low) if high > low else 0.0
    return float(row["warps"] * (typical + slope * (terms - low)))


def of_list(row: dict[str, Any], programs: int, blocks: float) -> float:
    """The instructions of a kernel that works the list off: of its programs, and of blocks of a warp."""
    return float(programs * row["warps"] * row["counts"]["typical"] + blocks * row["counts"]["beyond"])


def numbers_moved(dtype: str, direction: str, tiles: Tiles) -> dict[str, float]:
    """The numbers of the arrays' dtype that programs read and write, by kernel; two bytes of a position are one."""
    most = (LAYOUTS if direction == "forward" else LAYOUTS_VJP)[dtype].terms
    features = features_of(ACTIVATION, 0) + 2
    of_pairs = tiles.tile**2 * (1 + tiles.listing)  # of cov, which is read again to be listed
    tables = {"neurons": N * (4 + features + most + 2)}
    if direction == "forward":
        series = of_pairs + 2 * tiles.tile**2 + 2 * tiles.tile * tiles.terms
        listed = tiles.listed * (2 + 1 + 2 * (features - 2) + 2)
        return {**tables, "pairs": tiles.count * series + tiles.listed, "pairs_beyond": listed}
    series = of_pairs + 4 * tiles.tile**2 + 2 * tiles.tile * 3 * (tiles.terms + 1) + 4 * tiles.tile
    read = 2 + 3 + 2 * (features - 2)
    return {
        **tables,
        "derivatives": tiles.side * tiles.tile * (3 * most + 3 * (most + 1)),
        "pairs_vjp": tiles.count * series + tiles.listed,
        "cov_beyond": tiles.listed * (read + 2),
        "beyond": 4 * tiles.listed * (read + 1),
        "add_beyond": tiles.listed * (2 + 4) + tiles.count * tiles.listing * 8 * tiles.tile,
        "collect": N * (4 * tiles.side + 6),
    }


def main() -> None:
    counted = json.loads((RESULTS / "gpu-counts.json").read_text())["rows"]
    rows = []
    for row in json.loads((RESULTS / "gpu-terms.json").read_text())["rows"]:
        dtype, direction, tiles = row["dtype"], row["direction"], tiles_of(row)
        wanted = {"target": TARGET, "dtype": dtype, "size": "16"}
        counts = {x["kernel"]: x for x in counted if wanted.items() <= x.items()}
        moved = numbers_moved(dtype, direction, tiles)
        rows.append(
            {name: row[name] for name in ("data", "dtype", "direction", "pairs", "listing", "overfull")}
            | {"terms": tiles.terms, "instructions": instructions(dtype, direction, tiles, counts)}
            | {"bytes": getattr(torch, dtype).itemsize * sum(moved.values())}
        )
    write(RESULTS / "gpu-pass.json", {"n": N, "target": TARGET, "rows": rows})


if __name__ == "__main__":
    main()
