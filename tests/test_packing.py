"""A platform's wheel: what it requires, what it says of itself, and that the same files make the same bytes."""

import base64
import csv
import hashlib
import os
import platform
import subprocess
import sys
import zipfile

import pytest

from tools.packing import INSIDE, packed, without_numba

ABOUT = "fastmoments-1.2.3.dist-info"
METADATA = """Metadata-Version: 2.4
Name: fastmoments
Version: 1.2.3
Requires-Dist: numba<1,>=0.61
Requires-Dist: numba-scipy>=0.4
Requires-Dist: numpy<3,>=2.0
Provides-Extra: numba
Requires-Dist: numba<1,>=0.61; extra == 'numba'
Description-Content-Type: text/markdown

Requires-Dist: numba<1,>=0.61
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: hatchling 1.27\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
PLATFORM = f"manylinux_2_17_{platform.machine()}"


def wheel(folder, metadata=METADATA):
    """A small wheel as the build backend makes it, and the platform's wheel of it."""
    folder.mkdir()
    pure, library = folder / "fastmoments-1.2.3-py3-none-any.whl", folder / "x86-64-v3.so"
    library.write_bytes(b"\x7fELF")
    with zipfile.ZipFile(pure, "w") as archive:
        about = {"METADATA": metadata, "WHEEL": WHEEL, "RECORD": ""}
        archive.writestr("fastmoments/__init__.py", "any = 1\n")
        for name, text in about.items():
            archive.writestr(f"{ABOUT}/{name}", text)
    return packed(pure, [library], PLATFORM, folder / "dist")


def test_a_wheel_says_what_it_is(tmp_path):
    made = wheel(tmp_path / "one")
    assert made.name == f"fastmoments-1.2.3-py3-none-{PLATFORM}.whl"
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
        told = archive.read(f"{ABOUT}/WHEEL").decode().splitlines()
        assert f"Tag: py3-none-{PLATFORM}" in told and "Root-Is-Purelib: false" in told and len(told) == 4
        for name, digest, size in csv.reader(archive.read(f"{ABOUT}/RECORD").decode().splitlines()):
            data = archive.read(name)
            if name != f"{ABOUT}/RECORD":
                found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                assert (digest, size) == (f"sha256={found}", str(len(data)))
            names.remove(name)
        assert not names and archive.read(f"{INSIDE}/x86-64-v3.so") == b"\x7fELF"
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}


def test_the_same_files_make_the_same_bytes(tmp_path):
    one = wheel(tmp_path / "one")
    os.utime(tmp_path / "one" / "x86-64-v3.so", (1e9, 1e9))
    assert one.read_bytes() == wheel(tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        "Requires-Dist: numba<1,>=0.61",
        "Requires-Dist: numba (<1,>=0.61)",
        "Requires-Dist: Numba>=0.61; python_version < '3.15'",
        "requires-dist: numba",
    ],
)
def test_numba_is_required_by_its_extra_alone(line):
    """What is above the description counts, and other packages whose names begin so are not Numba."""
    found = without_numba(METADATA.replace("Requires-Dist: numba<1,>=0.61", line, 1).encode()).decode()
    assert found == METADATA.replace("Requires-Dist: numba<1,>=0.61\n", "", 1)


@pytest.mark.parametrize(
    "lost", ["Requires-Dist: numba<1,>=0.61\n", "Requires-Dist: numba<1,>=0.61; extra == 'numba'\n"]
)
def test_other_metadata_is_refused(lost):
    """The requirement is in another place, or the extra is not there that errors tell to install."""
    with pytest.raises(ValueError, match="METADATA: expected a requirement of Numba"):
        without_numba(METADATA.replace(lost, "", 1).encode())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the wheel is for Linux")
def test_pip_takes_the_wheel(tmp_path):
    """It reads METADATA, and would install what is required."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index", "--force-reinstall"]
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    made = wheel(tmp_path / "one")
    done = subprocess.run([*command, made], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Would install fastmoments-1.2.3" in done.stdout, done.stderr
