"""Processor levels: sets of instructions that a library of object code is compiled for.

FASTMOMENTS_LEVEL chooses a lower level than the processor's, or "none", so that everything is compiled here.
"""

import os
import sys
from functools import cache
from importlib import import_module
from typing import NamedTuple

FOLDER = os.path.join(os.path.dirname(__file__), "libraries")  # pathlib takes longer to import than all else here
VARIABLE = "FASTMOMENTS_LEVEL"


class Level(NamedTuple):
    """A level of one kind of machine: what it takes in NumPy's names, a processor and features in LLVM's.

    `vector` is the number of bytes of a vector, that of `cpu.machine` when Numba compiles for the level.
    """

    machine: str
    needs: tuple[str, ...]
    processor: str
    features: str
    vector: int


# x86-64-v3 and v4 are those of the x86-64 psABI; NumPy names no BMI, LZCNT and MOVBE, which every processor with
# AVX2 and FMA3 has
_V3 = (
    "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2,+crc32,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
)
LEVELS = {
    "x86-64-v4": Level(
        "x86_64",
        ("AVX2", "FMA3", "AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL"),
        "x86-64-v4",
        f"{_V3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl",
        64,
    ),
    "x86-64-v3": Level("x86_64", ("AVX2", "FMA3"), "x86-64-v3", _V3, 32),
    "armv8-a": Level("aarch64", ("ASIMD",), "generic", "+neon,+fp-armv8", 32),
}


def path_of(level: str) -> str:
    """The file of a level's library."""
    return os.path.join(FOLDER, f"{level}.so")


@cache
def level() -> str | None:
    """The highest level that has a library here and that the processor can run; None if there is none.

    Raises
    ------
    ValueError : FASTMOMENTS_LEVEL names a level that cannot be had here.
    """
    found, asked = usable(), os.environ.get(VARIABLE, "")
    if asked == "none":
        return None
    if asked and asked not in found:
        raise ValueError(f'{VARIABLE}: expected "none" or one of {found}, the levels to be had here, got {asked!r}')
    return asked or next(iter(found), None)


def usable() -> list[str]:
    """The levels that have a library here and that the processor can run, the highest first."""
    features, machine = _features(), _machine()
    return [
        name
        for name, of in LEVELS.items()
        if os.path.exists(path_of(name)) and of.machine == machine and all(map(features.get, of.needs))
    ]


def vector() -> int:
    """Bytes of the vectors of the library that serves."""
    name = level()
    assert name is not None
    return LEVELS[name].vector


def _features() -> dict[str, bool]:
    """Return which instructions the processor has and the operating system allows, by NumPy's names."""
    found: dict[str, bool] = import_module("numpy._core._multiarray_umath").__cpu_features__
    return found


def _machine() -> str:
    """The kind of machine; none for a Python whose objects are not where `library` looks for NumPy's."""
    return os.uname().machine if hasattr(os, "uname") and sys.implementation.name == "cpython" else ""
