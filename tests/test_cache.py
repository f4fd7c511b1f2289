"""The disk cache shared by several versions, processors and processes at the same time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastmoments_kernels
from fastmoments_kernels.cpu import compiled
from tests.processes import python

MEAN = "from fastmoments_kernels.cpu import elementwise; print(elementwise('relu', 'mean')(0.0, 1.0))"
FOLDER = "from fastmoments_kernels.cpu.compiled import _directory; print(_directory())"
AT_ZERO = 0.3989422804014327  # 1 / sqrt(2 pi)


def installation(folder, factor=1):
    """A copy of the kernels whose relu is multiplied by a factor."""
    package = folder / "fastmoments_kernels"
    shutil.copytree(
        Path(fastmoments_kernels.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    formula = package / "formulas" / "relu.py"
    formula.write_text(formula.read_text().replace("sd * ramp_mean(h)", f"{factor}.0 * sd * ramp_mean(h)"))
    return folder


def means(folders, cache):
    """relu's mean at 0, by a process for each installation, all at once."""
    environments = [os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)} for folder in folders]
    running = [
        subprocess.Popen([sys.executable, "-c", MEAN], env=one, stdout=subprocess.PIPE) for one in environments
    ]
    return [float(process.communicate()[0]) for process in running]


def written(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")}


@pytest.mark.slow
def test_installations_share_a_cache_and_compile_at_once(tmp_path):
    """Two versions each run their own formula, one of them from two places, and none compiles again afterwards."""
    cache = tmp_path / "cache"
    one, same, other = (installation(tmp_path / f"{k}", factor) for k, factor in enumerate((1, 1, 3)))
    wanted = [pytest.approx(factor * AT_ZERO, rel=1e-15, abs=0) for factor in (1, 1, 1, 3, 3)]
    folders = one, one, same, other, other
    assert means(folders, cache) == wanted
    before = written(cache)
    assert means(folders, cache) == wanted
    assert len(before) >= 6 and written(cache) == before


def test_another_processor_has_a_folder_of_its_own():
    """Two processors that write one index file of Numba at once would load each other's machine code."""
    here, there = (python("-c", FOLDER, NUMBA_CPU_NAME=name) for name in ("haswell", "generic"))
    assert here != there and here == python("-c", FOLDER, NUMBA_CPU_NAME="haswell")


def test_what_is_in_use_is_not_stale(tmp_path):
    """A folder is removed a month after its last use, not a month after it was made."""
    used, left, new = (tmp_path / f"kernels-{name}" for name in ("used", "left", "new"))
    for folder in (used, left):
        folder.mkdir()
        os.utime(folder, (0, 0))
    assert compiled._made(used) and compiled._made(new)
    assert used.exists() and new.exists() and not left.exists()
