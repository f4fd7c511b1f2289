"""What can be counted of a compiled kernel without a card: instructions, programs, bytes an access.

The instructions are those of the machine code (`cuobjdump -sass`) that a warp issues, counted by these rules:

* An instruction counts as often as the loops around it are passed. A loop is what a backward branch encloses. One
  whose counter is compared with a number written in the code is passed so many times. The passes of the others
  follow from what a tile takes, and are given by the loops' order in the code (`passes_of`).
* Slow paths do not count: calls of the routines for quotients and roots of denormal and infinite numbers, around
  which a branch leads, and whatever follows the last EXIT.
* Every other branch counts with both its sides, as for a block of pairs that need both, but for the branch around
  the listing of pairs beyond the series, which is known by its stores of 16 bits and counted apart.
"""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import triton

from fastmoments_kernels.gpu.beyond import PART

REGISTERS, THREADS, PARTITIONS, PROGRAMS = 65536, 2048, 4, 32  # of a multiprocessor; PROGRAMS at most
SHARED = {80: 164, 90: 228, 100: 228}  # kibibytes of a multiprocessor, by architecture
TERMS = {
    "float32": (8, 64),
    "float64": (16, 128),
}  # of relu's series for a tile of the data typical, strong; n = 8192; backward one tile in forty takes 8 more
BEYOND = {"float32": 0.009, "float64": 0.014}  # the share of pairs beyond the series in the data strong
SLOW = 16  # instructions at most in a branch around a call
WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}  # bytes, by an access's suffix; else 4


class Instruction(NamedTuple):
    """An instruction at an address; `target` is where it branches to, or -1."""

    address: int
    text: str
    name: str
    target: int


class Counts(NamedTuple):
    """What `counted` says of a kernel for the data typical and strong; what depends on no data where they agree."""

    typical: int
    strong: int
    listing: int
    load: int
    store: int


class Counted(NamedTuple):
    """Instructions of a warp, once through a kernel; `listing` is what listing pairs adds.

    `load` and `store` are the bytes that a thread moves by most of its accesses to arrays.
    """

    instructions: int
    listing: int
    load: int
    store: int


def passes_of(name: str, constants: dict[str, Any], terms: int) -> tuple[int, ...] | None:
    """The passes of a kernel's loops: over parts of a listed tile and over terms, or over one block of pairs.

    None for a kernel whose instructions are not counted. A loop of one pass is none.
    """
    if name == "pairs_beyond":
        return (1,)
    if name not in ("pairs_whole", "pairs_edges", "pairs_vjp_whole", "pairs_vjp_edges"):
        return None
    parts = constants["TILE"] ** 2 // PART
    return (*([parts] if parts > 1 else []), terms // constants.get("UNROLL", 1))


def counts_of(name: str, dtype: str, constants: dict[str, Any], cubin: bytes) -> Counts | None:
    """The counts of a kernel of pairs, of a warp and a tile or, for pairs_beyond, a warp and 32 pairs."""
    passes = [passes_of(name, constants, terms) for terms in TERMS[dtype]] if dtype in TERMS else [None]
    if None in passes:
        return None
    code = machine_code(cubin)
    typical, strong = (counted(code, given or ()) for given in passes)
    return Counts(typical.instructions, strong.instructions, strong.listing, strong.load, strong.store)


def machine_code(cubin: bytes) -> list[Instruction]:
    """The instructions of a cubin with one kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-sass", file.name]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return parsed(report)


def parsed(report: str) -> list[Instruction]:
    """The instructions in cuobjdump's report."""
    code = []
    for address, text in re.findall(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", report, re.MULTILINE):
        name = re.sub(r"^@\S+\s+", "", text).split()[0]
        target = re.search(r"0x([0-9a-f]+)$", text) if name.startswith("BRA") else None
        code.append(Instruction(int(address, 16), text, name, int(target[1], 16) if target else -1))
    return code


def counted(code: list[Instruction], passes: Sequence[int] = ()) -> Counted:
    """Count; `passes` are those of the loops whose number the code does not say, by their order in the code."""
    main = _main(code)
    at = {instruction.address: position for position, instruction in enumerate(main)}
    branches = [
        (position, at[x.target]) for position, x in enumerate(main) if x.target in at and ".DIV" not in x.name
    ]
    slow = [
        range(start + 1, end)
        for start, end in branches
        if 0 < end - start <= SLOW and any(x.name.startswith("CALL") for x in main[start + 1 : end])
    ]
    skipped = set().union(*slow)
    weights = _weights(main, [(end, start) for start, end in branches if end <= start], passes)
    listing = _listing(main, branches)
    counts = {position: weights[position] for position in range(len(main)) if position not in skipped}
    own = sum(count for position, count in counts.items() if position in listing)
    load, store = (_bytes(main, kind) for kind in ("LDG", "STG"))
    return Counted(sum(counts.values()) - own, own, load, store)


def programs(architecture: int, registers: int, warps: int, shared: int) -> int:
    """How many programs share a multiprocessor: by registers, in units of 8 a thread, shared memory and threads."""
    by_registers = REGISTERS // PARTITIONS // (32 * -(-registers // 8) * 8) * PARTITIONS // warps
    by_shared = SHARED[architecture] * 1024 // (shared + 1024)  # of which the system takes a kibibyte a program
    return min(by_registers, by_shared, THREADS // (32 * warps), PROGRAMS)


def _main(code: list[Instruction]) -> list[Instruction]:
    """The code up to the last EXIT, and the branch after it if that closes a loop."""
    last = max(position for position, x in enumerate(code) if x.name == "EXIT")
    following = code[last + 1]
    return code[: last + 2 if 0 <= following.target < code[last].address else last + 1]


def _weights(code: list[Instruction], loops: list[tuple[int, int]], passes: Sequence[int]) -> list[int]:
    """How often each instruction is issued."""
    weights, given = [1] * len(code), list(passes)
    for first, last in sorted(loops):
        number = _written(code[first : last + 1])
        if number is None:
            assert given, f"a loop of unknown length at {code[first].address:#x}"
            number = given.pop(0)
        for position in range(first, last + 1):
            weights[position] *= number
    assert not given, f"{len(given)} loops fewer than given"
    return weights


def _written(body: list[Instruction]) -> int | None:
    """The number with which the counter of a loop is compared, if it is written in the code."""
    # a branch back may follow the branch out
    predicate = re.match(r"@!?(U?P\d)", body[-1].text) or re.match(r"@!?(U?P\d)", body[-2].text)
    if predicate is None:
        return None
    compared = [x.text for x in body if re.match(rf"U?ISETP\S* {predicate[1]},", re.sub(r"^@\S+\s+", "", x.text))]
    number = re.search(r", 0x([0-9a-f]+), U?PT$", compared[-1]) if compared else None
    return int(number[1], 16) if number else None


def _listing(code: list[Instruction], branches: list[tuple[int, int]]) -> range:
    """The positions of the branch that lists pairs: the widest around all stores of 16 bits but for loops."""
    stores = [position for position, x in enumerate(code) if x.name.startswith("STG") and ".U16" in x.name]
    if not stores:
        return range(0)
    around = [range(start + 1, end) for start, end in branches if start < stores[0] and stores[-1] < end]
    return max(around, key=len)


def _bytes(code: list[Instruction], kind: str) -> int:
    """The bytes of most accesses of a kind to arrays, weighed by the bytes that they move."""
    moved: Counter[int] = Counter()
    for instruction in code:
        name = instruction.name
        if name.startswith(kind):
            width = next((WIDTHS[part] for part in name.split(".") if part in WIDTHS), 4)
            moved[width] += width
    return moved.most_common(1)[0][0]
