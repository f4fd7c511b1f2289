"""The wheel of a platform from the package's own: libraries are added, and Numba is no longer required.

The same files make the same bytes: they have one date and one mode, and those that tell about the wheel come last.
"""

import base64
import hashlib
import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

DATE = (2020, 2, 2, 0, 0, 0)  # that of the build backend's wheels; a zip file knows none before 1980
MODE = stat.S_IFREG | 0o644
ANY = "py3-none-any"
INSIDE = "fastmoments_kernels/ahead/libraries"
NUMBA = re.compile(rb"Requires-Dist:\s*numba(?![\w.-])(?!.*\bextra\b)", re.IGNORECASE)
EXTRA = re.compile(rb"^Requires-Dist:\s*numba(?![\w.-]).*;.*\bextra\s*==\s*['\"]numba['\"]", re.I | re.M)


def packed(pure: Path, libraries: Iterable[Path], platform: str, folder: Path) -> Path:
    """Write the wheel of a platform, such as manylinux_2_17_x86_64, to a folder."""
    tag = f"py3-none-{platform}"
    with zipfile.ZipFile(pure) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files |= {f"{INSIDE}/{library.name}": library.read_bytes() for library in libraries}
    (about,) = {name.partition("/")[0] for name in files if name.partition("/")[0].endswith(".dist-info")}
    files[f"{about}/METADATA"] = without_numba(files[f"{about}/METADATA"])
    files[f"{about}/WHEEL"] = of_platform(files[f"{about}/WHEEL"], tag)
    del files[f"{about}/RECORD"]
    ordered = sorted(files.items(), key=lambda file: (file[0].startswith(about), file[0]))
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in ordered]
    record = "\n".join([*lines, f"{about}/RECORD,,", ""]).encode()
    folder.mkdir(exist_ok=True)
    made = folder / f"{pure.name.removesuffix(f'{ANY}.whl')}{tag}.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in [*ordered, (f"{about}/RECORD", record)]:
            archive.writestr(_entry(name), data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return made


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system, entry.external_attr = 3, MODE << 16  # Unix, whatever packs
    return entry


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def without_numba(metadata: bytes) -> bytes:
    """METADATA whose requirement of Numba is that of the extra `numba` alone, which errors name."""
    head, gap, description = metadata.partition(b"\n\n")
    kept = [line for line in head.split(b"\n") if not NUMBA.match(line)]
    head_kept = b"\n".join(kept)
    if head_kept == head or not EXTRA.search(head_kept):
        raise ValueError("METADATA: expected a requirement of Numba, and one of the extra numba")
    return head_kept + gap + description


def of_platform(wheel: bytes, tag: str) -> bytes:
    """WHEEL of a wheel that is not for any platform."""
    for before, after in (("Root-Is-Purelib: true", "Root-Is-Purelib: false"), (f"Tag: {ANY}", f"Tag: {tag}")):
        if wheel.count(before.encode()) != 1:
            raise ValueError(f"WHEEL: expected one line {before}")
        wheel = wheel.replace(before.encode(), after.encode())
    return wheel
