"""What a library of object code is made of: a processor without AVX-512 must meet none of its instructions.

Executable sections are read from their first byte to their last, one instruction after the other. Compilers put
jump tables and constants into sections of their own, and fill the room between functions with instructions. Data in
between would be read as instructions: where they are none, that is an error; where they happen to be some, the few
instructions behind them may be misread too, and the numbers are off by so many.

usage: python tools/instructions.py LIBRARY ...         exit 1 if one is not what its name, that of a level, says
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import capstone

EVEX = b"\x62"  # begins every instruction of AVX-512 but those of masks alone, k...
PREFIXES = b"\x26\x2e\x36\x3e\x64\x65\x67"  # that may come before it: of segments, of addresses


def code_of(library: Path) -> Iterator[tuple[int, bytes]]:
    """The address and the bytes of every executable section of a 64-bit ELF file."""
    data = library.read_bytes()
    assert data[:5] == b"\x7fELF\x02", library
    table, size, count = (int.from_bytes(data[a:b], "little") for a, b in ((40, 48), (58, 60), (60, 62)))
    for start in range(table, table + size * count, size):
        kind, flags, address, offset, length = (
            int.from_bytes(data[start + a : start + b], "little")
            for a, b in ((4, 8), (8, 16), (16, 24), (24, 32), (32, 40))
        )
        if kind == 1 and flags & 4:  # SHT_PROGBITS, SHF_EXECINSTR
            yield address, data[offset : offset + length]


def count(library: Path) -> tuple[int, int]:
    """The number of instructions, and of those of AVX-512; ValueError for bytes that are no instruction."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    total = evex = 0
    for start, code in code_of(library):
        end = start
        for address, size, name, operands in decoder.disasm_lite(code, start):
            total, end = total + 1, address + size
            encoded = code[address - start : end - start].lstrip(PREFIXES)
            evex += encoded.startswith(EVEX) or "zmm" in operands or name.startswith("k")
        if end != start + len(code):
            raise ValueError(f"{library}: no instruction at {end:#x}")
    return total, evex


def check(library: Path) -> str:
    """Raise unless AVX-512 is used as the library's level says; what was found, in words."""
    total, evex = count(library)
    if total < 1000 or (evex > 0) != (library.stem == "x86-64-v4"):
        raise ValueError(f"{library}: {evex} of {total} instructions are of AVX-512")
    return f"{library.name}: {total} instructions, {evex} of AVX-512"


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(check(Path(path)))
