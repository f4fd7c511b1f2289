"""Build the wheel of this platform: the package, and object code of its loops for every level of its processors.

A source install is the same package, in which Numba compiles on the user's machine; this wheel does not require
Numba. Linker and C compiler are those of the `ziglang` package: the system needs none.

usage: python tools/wheel.py [activation ...]       all activations but mixtures if none is given
"""

import base64
import hashlib
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from instructions import check
from tqdm import tqdm

from fastmoments_kernels.ahead.levels import LEVELS
from fastmoments_kernels.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
BUILD, DIST = ROOT / "build", ROOT / "dist"
TOOLS = ROOT / "tools"
INSIDE = "fastmoments_kernels/ahead/libraries"
GLIBC = "2.17"  # that of manylinux2014
LIMIT = 25e6  # bytes of a wheel


def objects(level: str, names: list[str]) -> Path:
    """Compile the loops of activations for a level, an activation at a time on each processor; the folder."""
    folder = BUILD / f"objects-{_digest()}" / level
    settings = {"NUMBA_CPU_NAME": LEVELS[level].processor, "NUMBA_CPU_FEATURES": LEVELS[level].features}
    settings |= {"NUMBA_CACHE_DIR": str(BUILD / "cache"), "FASTMOMENTS_LEVEL": "none"}

    def compiled(name: str) -> None:
        command = [sys.executable, TOOLS / "object_code.py", folder, name]
        subprocess.run(command, env=os.environ | settings, check=True, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(compiled, names), desc=f"Compiling for {level}", unit="activation", total=len(names)))
    return folder


def _digest() -> str:
    """Of everything that object code depends on."""
    digest = hashlib.sha256()
    sources = [*sorted((ROOT / "kernels").rglob("*.py")), TOOLS / "object_code.py", ROOT / "constraints.txt"]
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def linked(level: str, folder: Path) -> Path:
    """Link a level's objects and the run time to a library, and check its instructions."""
    library, seen = BUILD / f"{level}.so", BUILD / f"{level}.map"
    loops = sorted(folder.glob("*.o"))
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
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--disable-pip-version-check",
        "-q",
        "--no-deps",
        "-w",
        BUILD,
        ROOT,
    ]
    subprocess.run(command, check=True)
    (pure,) = BUILD.glob("fastmoments-*-py3-none-any.whl")
    platform_tag = f"manylinux_{GLIBC.replace('.', '_')}_{platform.machine()}"
    DIST.mkdir(exist_ok=True)
    made = DIST / pure.name.replace("any", platform_tag)
    record = []
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in [
            *_contents(pure, platform_tag),
            *((f"{INSIDE}/{x.name}", x.read_bytes()) for x in libraries),
        ]:
            if name.endswith("/RECORD"):
                listed = name
                continue
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}")
        archive.writestr(listed, "\n".join([*record, f"{listed},,", ""]))
    pure.unlink()
    return made


def _contents(pure: Path, platform_tag: str) -> Iterator[tuple[str, bytes]]:
    """The files of the package's wheel, those changed that say what it is."""
    with zipfile.ZipFile(pure) as archive:
        for name in archive.namelist():
            text = archive.read(name)
            if name.endswith(".dist-info/WHEEL"):
                tag = f"Tag: py3-none-{platform_tag}".encode()
                text = text.replace(b"Root-Is-Purelib: true", b"Root-Is-Purelib: false")
                text = text.replace(b"Tag: py3-none-any", tag)
                assert tag in text and b"Purelib: false" in text
            elif name.endswith(".dist-info/METADATA"):
                lines = text.split(b"\n")
                kept = [
                    line
                    for line in lines
                    if not (line.startswith(b"Requires-Dist: numba") and b"extra" not in line)
                ]
                assert len(kept) == len(lines) - 1
                text = b"\n".join(kept)
            yield name, text


def main(*names: str) -> None:
    """Compile, link and pack; fail if the wheel is larger than it may be."""
    chosen = [*(names or (row.name for row in CATALOGUE if not row.components)), "none"]
    levels = [level for level, of in LEVELS.items() if of.machine == platform.machine()]
    if not levels or sys.platform != "linux":
        raise SystemExit(f"there are no levels of {platform.machine()} on {sys.platform}: the source is its wheel")
    made = wheel([linked(level, objects(level, chosen)) for level in levels])
    size = made.stat().st_size
    print(f"{made}: {size / 1e6:.1f} MB")
    if size > LIMIT:
        raise SystemExit(f"larger than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
