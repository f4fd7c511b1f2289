"""What can be counted of a compiled kernel without a card: instructions, programs, bytes an access.

The instructions are those of the machine code (`cuobjdump -sass`) that a warp issues, counted by these rules:

* An instruction counts as often as the loops around it are passed. A loop is what a backward branch encloses. One
  whose counter runs from or to a number written in the code is passed so many times. The passes of the others
  follow from what a tile takes at n = N, and are given by the loops' order in the code (`passes_of`).
* Slow paths do not count: calls of the routines for quotients and roots of denormal and infinite numbers, around
  which a branch leads, and whatever follows the last EXIT.
* Every other branch counts with both its sides, as for a block of pairs that need both.
* What only pairs beyond the series need is counted apart (`beyond`): to list those of a tile is the branch around
  the stores of 16 bits; in the kernels that work the list off, the branch around all stores, or the loop.
"""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import triton

from fastmoments_kernels.gpu.beyond import PART
from fastmoments_kernels.gpu.matrices import GROUP, LAYOUTS, PROGRAMS, SWEEP
from fastmoments_kernels.gpu.matrices_vjp import AT_ONCE, LAYOUTS_VJP, LISTED

N = 8192
REGISTERS, THREADS, PARTITIONS, RESIDENT = 65536, 2048, 4, 32  # of a multiprocessor; RESIDENT programs at most
SHARED = {80: 164, 90: 228, 100: 228}  # kibibytes of a multiprocessor, by architecture
# Of relu for the data typical and strong of benchmarks/gpu.py at n = N, as benchmarks/gpu_terms.py finds them: the
# terms of most tiles of typical data, and the share of strong data's pairs that are listed backward
TYPICAL = {"float32": 8, "float64": 16}
BEYOND = {"float32": 0.0063, "float64": 0.021}
BACKWARD_LIST = ("cov_beyond", "beyond_mu", "beyond_var", "add_beyond", "overfull_mu", "overfull_var")
OF_LIST = ("pairs_beyond", *BACKWARD_LIST)
SLOW = 16  # instructions at most in a branch around a call
WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}  # bytes, by an access's suffix; else 4


class Instruction(NamedTuple):
    """An instruction at an address; `target` is where it branches to, or -1."""

    address: int
    text: str
    name: str
    target: int


class Counts(NamedTuple):
    """What `counted` says of a kernel for the data typical and strong, for which its series have `terms`.

    `beyond` comes on top: to list a tile's pairs, to compute 32 listed pairs a warp, to add those of a program's
    tiles, or to compute a program's tiles if all are overfull.
    """

    terms: tuple[int, int]
    typical: int
    strong: int
    beyond: int
    load: int
    store: int


class Counted(NamedTuple):
    """Instructions of a warp, once through a kernel; `beyond` is what pairs beyond the series add.

    `load` and `store` are the bytes that a thread moves by most of its accesses to arrays.
    """

    instructions: int
    beyond: int
    load: int
    store: int


def passes_of(name: str, dtype: str, constants: dict[str, Any], terms: int, n: int = N) -> tuple[int, ...] | None:
    """The passes of a kernel's loops that the code does not say, by their order; None if it is not counted.

    Those are over parts of a tile that is listed and over terms; over one block of pairs; over a program's tiles.
    """
    tile = LAYOUTS[dtype].tile
    tiles = -(-n // tile)
    of_program = -(-tiles * (tiles + 1) // 2 // PROGRAMS)
    listed = -(-round(BEYOND[dtype] * tile**2) // LISTED)
    parts = tile // LAYOUTS_VJP[dtype].part
    of_part = -(-tiles * (tiles + 1) // 2 // (PROGRAMS // (2 * parts)))
    asked = -(-of_part // GROUP)  # times that a program asks for overfull tiles
    known: dict[str, tuple[int, ...]] = {
        "neurons": (terms // SWEEP,),
        "derivatives": (),
        "collect": (-(-tiles // AT_ONCE),) * 2,
        "add_beyond": (of_program, listed, listed),
        **dict.fromkeys(("pairs_beyond", "cov_beyond", "beyond_mu", "beyond_var"), (1,)),
        **dict.fromkeys(("overfull_mu", "overfull_var"), (asked, -(-of_part // asked), parts)),
    }
    if name in ("pairs_whole", "pairs_edges", "pairs_vjp_whole", "pairs_vjp_edges"):
        of_tile = tile**2 // PART
        return (*([of_tile] if of_tile > 1 else []), terms // constants.get("UNROLL", 1))
    return known.get(name)


def counts_of(name: str, dtype: str, constants: dict[str, Any], cubin: bytes, n: int = N) -> Counts | None:
    """The counts of a kernel of matrices, of a warp of a program; `n` is N or 1."""
    if dtype not in LAYOUTS:
        return None
    forward, backward = LAYOUTS[dtype].terms, LAYOUTS_VJP[dtype].terms
    taken = TYPICAL[dtype], backward if "vjp" in name else forward
    if name == "neurons":  # they compute all coefficients, whatever tiles take
        taken = forward, backward
    if n == 1:
        taken = SWEEP, SWEEP
    passes = [passes_of(name, dtype, constants, terms, n) for terms in taken]
    if None in passes:
        return None
    code = machine_code(cubin)
    typical, strong = (counted(code, given or (), name in OF_LIST, all_loops=n > 1) for given in passes)
    return Counts(taken, typical.instructions, strong.instructions, strong.beyond, strong.load, strong.store)


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


def counted(
    code: list[Instruction], passes: Sequence[int] = (), of_list: bool = False, all_loops: bool = True
) -> Counted:
    """Count; `passes` are those of the loops whose number the code does not say, by their order in the code.

    A kernel `of_list` works the pairs beyond the series off. Where n is known to be 1, loops over pairs may be
    missing: not `all_loops` are there.
    """
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
    weights, left = _weights(main, [(end, start) for start, end in branches if end <= start], passes)
    assert not left or not all_loops, f"{left} loops fewer than given"
    beyond = _beyond(main, branches, of_list)
    counts = {position: weights[position] for position in range(len(main)) if position not in skipped}
    own = sum(count for position, count in counts.items() if position in beyond)
    load, store = (_bytes(main, kind) for kind in ("LDG", "STG"))
    return Counted(sum(counts.values()) - own, own, load, store)


def programs(architecture: int, registers: int, warps: int, shared: int) -> int:
    """How many programs share a multiprocessor: by registers, in units of 8 a thread, shared memory and threads."""
    by_registers = REGISTERS // PARTITIONS // (32 * -(-registers // 8) * 8) * PARTITIONS // warps
    by_shared = SHARED[architecture] * 1024 // (shared + 1024)  # of which the system takes a kibibyte a program
    return min(by_registers, by_shared, THREADS // (32 * warps), RESIDENT)


def _main(code: list[Instruction]) -> list[Instruction]:
    """The code up to the last EXIT, and the branch after it if that closes a loop."""
    last = max(position for position, x in enumerate(code) if x.name == "EXIT")
    following = code[last + 1]
    return code[: last + 2 if 0 <= following.target < code[last].address else last + 1]


def _weights(code: list[Instruction], loops: list[tuple[int, int]], passes: Sequence[int]) -> tuple[list[int], int]:
    """How often each instruction is issued, and how many of `passes` found no loop."""
    weights, given = [1] * len(code), list(passes)
    for first, last in sorted(loops):
        number = _written(code, first, last)
        if number is None:
            assert given, f"a loop of unknown length at {code[first].address:#x}"
            number = given.pop(0)
        for position in range(first, last + 1):
            weights[position] *= number
    return weights, len(given)


def _written(code: list[Instruction], first: int, last: int) -> int | None:
    """The number from which a loop's counter runs to zero, or up to which it runs, if it is written in the code."""
    # a branch back may follow the branch out
    branch = r"@!?(U?P\d) |BRA\.U !?(UP\d),"
    predicate = re.match(branch, code[last].text) or re.match(branch, code[last - 1].text)
    if predicate is None:
        return None
    texts = [re.sub(r"^@\S+\s+", "", x.text) for x in code[: last + 1]]
    body = texts[first:]
    compared = [text for text in body if re.match(rf"U?ISETP\S* {predicate[1] or predicate[2]},", text)]
    found = re.search(r" (U?R\d+), (0x[0-9a-f]+|U?RZ), U?PT$", compared[-1]) if compared else None
    if found is None:
        return None
    counter, end = found.groups()
    step = _only(body, rf"\S*ADD\S* {counter}, (?:U?PT, )*{counter}, -?0x([0-9a-f]+)\b")
    if "RZ" not in end:
        return int(end, 16) // step if step else None
    written = [text for text in texts[:first] if re.match(rf"\S+ {counter},", text)]
    start = _only(written[-1:], rf"\S*MOV\S* {counter}, .*?0x([0-9a-f]+)$")
    return start // step if start and step else None


def _only(texts: list[str], pattern: str) -> int | None:
    """The number in the one instruction of a pattern, if there is one."""
    found = [int(match[1], 16) for text in texts if (match := re.match(pattern, text))]
    # a negative step may be written modulo 2^32
    return min(found[0], 2**32 - found[0]) if len(found) == 1 else None


def _beyond(code: list[Instruction], branches: list[tuple[int, int]], of_list: bool) -> range:
    """The positions of what only pairs beyond the series need: the widest branch around the stores that tell.

    In a kernel `of_list` without such a branch it is the loop around them.
    """
    stores = [p for p, x in enumerate(code) if x.name.startswith("STG") and (of_list or ".U16" in x.name)]
    if not stores:
        return range(0)
    around = [range(start + 1, end) for start, end in branches if start < stores[0] and stores[-1] < end]
    loops = [range(end, start + 1) for start, end in branches if end <= stores[0] and stores[-1] <= start]
    return max(around or loops, key=len)


def _bytes(code: list[Instruction], kind: str) -> int:
    """The bytes of most accesses of a kind to arrays, weighed by the bytes that they move."""
    moved: Counter[int] = Counter()
    for instruction in code:
        name = instruction.name
        if name.startswith(kind):
            width = next((WIDTHS[part] for part in name.split(".") if part in WIDTHS), 4)
            moved[width] += width
    return moved.most_common(1)[0][0]
