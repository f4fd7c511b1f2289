"""Build the wheel of this platform: the package, and object code of its loops for every level of its processors.

A source install is the same package, in which Numba compiles on the user's machine; this wheel does not require
Numba. Linker and C compiler are those of the `ziglang` package: the system needs none.

usage: python tools/wheel.py [activation ...]       all activations but mixtures if none is given
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from instructions import check
from packing import packed
from tqdm import tqdm

from fastmoments_kernels.ahead.levels import LEVELS
from fastmoments_kernels.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
BUILD, DIST = ROOT / "build", ROOT / "dist"
TOOLS = ROOT / "tools"
GLIBC = "2.17"  # that of manylinux2014
LIMIT = 25e6  # bytes of a wheel


def objects(level: str, names: list[str]) -> list[Path]:
    """Compile the loops of activations for a level, an activation at a time on each processor; the files."""
    folder = BUILD / f"objects-{_digest()}" / level
    settings = {"NUMBA_CPU_NAME": LEVELS[level].processor, "NUMBA_CPU_FEATURES": LEVELS[level].features}
    settings |= {"NUMBA_CACHE_DIR": str(BUILD / "cache"), "FASTMOMENTS_LEVEL": "none"}

    def compiled(name: str) -> list[Path]:
        # by activation: what an interrupted run left of others is not linked
        command = [sys.executable, TOOLS / "object_code.py", folder / name, name]
        subprocess.run(command, env=os.environ | settings, check=True, stdout=subprocess.DEVNULL)
        return sorted((folder / name).glob("*.o"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = tqdm(pool.map(compiled, names), desc=f"Compiling for {level}", unit="activation", total=len(names))
        return [path for paths in found for path in paths]


def _digest() -> str:
    """Of everything that object code depends on."""
    digest = hashlib.sha256()
    sources = [*sorted((ROOT / "kernels").rglob("*.py")), TOOLS / "object_code.py", ROOT / "constraints.txt"]
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def linked(level: str, loops: list[Path]) -> Path:
    """Link a level's objects and the run time to a library, and check its instructions."""
    library, seen = BUILD / f"{level}.so", BUILD / f"{level}.map"
    names = "".join(f"{path.stem}; " for path in loops)
    seen.write_text(f"{{ global: header; ndarray; *.signature; {names} local: *; }};\n")
    machine = LEVELS[level].machine
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{GLIBC}"]
    options = ["-shared", "-O2", "-fPIC", "-s", "-Wl,--gc-sections", "-Wl,-z,defs", f"-Wl,--version-script={seen}"]
    subprocess.run([*compiler, *options, "-o", library, TOOLS / "runtime.c", *loops, "-lm"], check=True)
    if machine == "x86_64":
        print(check(library))
    return library


def wheel(libraries: list[Path]) -> Path:
    """Write the package's wheel with libraries in it and without Numba among its requirements."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "-q", "--no-deps", "-w"]
        subprocess.run([*command, folder, ROOT], check=True)
        (pure,) = Path(folder).glob("fastmoments-*.whl")
        return packed(pure, libraries, f"manylinux_{GLIBC.replace('.', '_')}_{platform.machine()}", DIST)


def main(*names: str) -> None:
    """Compile, link and pack; fail if the wheel is larger than it may be."""
    every = [row.name for row in CATALOGUE if not row.components]
    if unknown := set(names) - set(every):
        raise SystemExit(f"no loops of {', '.join(sorted(unknown))}: expected some of {', '.join(every)}")
    chosen = [*(names or every), "none"]
    levels = [level for level, of in LEVELS.items() if of.machine == platform.machine()]
    if not levels or sys.platform != "linux":
        raise SystemExit(f"there are no levels of {platform.machine()} on {sys.platform}: the source is its wheel")
    made = wheel([linked(level, objects(level, chosen)) for level in levels])
    size = made.stat().st_size
    print(f"{made}: {size / 1e6:.1f} MB")
    if names:
        print(f"to try, not to publish: it lacks {', '.join(name for name in every if name not in names)}")
    if size > LIMIT:
        raise SystemExit(f"larger than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
