"""Compiled kernels on disk: several versions, processors and processes, installations without sources, damage."""

import os
import shutil
import subprocess
import sys
from compileall import compile_dir
from pathlib import Path

import pytest

import fastmoments_kernels
from fastmoments_kernels.cpu import kept
from tests.processes import python

# relu's mean at 0, after the names of what was compiled for it
MEAN = """
from fastmoments_kernels.cpu import elementwise, kept
save = kept.Kept.save_overload
def shown(cache, *others):
    print("compiled", cache._name)
    save(cache, *others)
kept.Kept.save_overload = shown
print(elementwise("relu", "mean", dtype="float64")(0.0, 1.0))
"""
FOLDER = "from fastmoments_kernels.cpu.kept import kernels; print(kernels().folders[0])"
AT_ZERO = 0.3989422804014327  # 1 / sqrt(2 pi)


def installation(folder, factor=1):
    """A copy of the kernels whose relu is multiplied by a factor."""
    package = folder / "fastmoments_kernels"
    shutil.copytree(
        Path(fastmoments_kernels.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    formula = package / "formulas" / "relu.py"
    source = formula.read_text()
    assert "sd * pdf_h * mills_1" in source
    formula.write_text(source.replace("sd * pdf_h * mills_1", f"{factor}.0 * sd * pdf_h * mills_1"))
    return folder


def means(folders, cache):
    """relu's mean at 0 and whether it was compiled, by a process for each installation, all at once."""
    environments = [os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)} for folder in folders]
    running = [
        subprocess.Popen([sys.executable, "-c", MEAN], env=one, stdout=subprocess.PIPE, text=True)
        for one in environments
    ]
    outputs = [process.communicate()[0].splitlines() for process in running]
    return [float(lines[-1]) for lines in outputs], [len(lines) - 1 for lines in outputs]


def close_to(factor=1):
    return pytest.approx(factor * AT_ZERO, rel=1e-15, abs=0)


@pytest.mark.slow
def test_installations_share_a_cache_and_compile_at_once(tmp_path):
    """Two versions each run their own formula, one of them from two places; each is compiled once."""
    cache = tmp_path / "cache"
    one, same, other = (installation(tmp_path / f"{k}", factor) for k, factor in enumerate((1, 1, 3)))
    folders, wanted = (one, one, same, other, other), [close_to(factor) for factor in (1, 1, 1, 3, 3)]
    found, compiled = means(folders, cache)
    assert found == wanted and sum(compiled[:3]) == sum(compiled[3:]) == 1
    assert means(folders, cache) == (wanted, [0] * 5)


@pytest.mark.slow
def test_eight_processes_at_once_compile_once(tmp_path):
    found, compiled = means([installation(tmp_path / "one")] * 8, tmp_path / "cache")
    assert found == [close_to()] * 8 and sum(compiled) == 1


def _byte_code(folder):
    """Leave byte code only, where Python looks for it without sources."""
    assert compile_dir(folder, legacy=True, quiet=1)
    for source in folder.rglob("*.py"):
        source.unlink()
    return folder


def _zip(folder):
    return Path(shutil.make_archive(folder / "kernels", "zip", folder))


@pytest.mark.parametrize("packed", [_byte_code, _zip])
def test_without_sources_kernels_are_kept(tmp_path, packed):
    place, cache = packed(installation(tmp_path / "place")), tmp_path / "cache"
    assert means([place], cache) == ([close_to()], [1])
    assert means([place], cache) == ([close_to()], [0])


def test_a_zip_of_another_version_has_a_folder_of_its_own(tmp_path):
    """The folder's name comes from the sources inside; a digest of none would be the same for all."""
    places = [_zip(installation(tmp_path / f"{factor}", factor)) for factor in (1, 3)]
    digest = "from fastmoments_kernels.storage import digest; print(digest())"
    one, three, unpacked = (python("-c", digest, PYTHONPATH=str(place)) for place in (*places, places[0].parent))
    assert one != three and one == unpacked


def test_damaged_files_are_compiled_anew(tmp_path):
    folders, cache = [Path(fastmoments_kernels.__file__).parents[1]], tmp_path / "cache"
    assert means(folders, cache) == ([close_to()], [1])
    (file,) = cache.rglob("*.nbc")
    file.write_bytes(file.read_bytes()[:1000])
    assert means(folders, cache) == ([close_to()], [1])
    assert means(folders, cache) == ([close_to()], [0])


def test_another_processor_has_a_folder_of_its_own():
    """A home may be shared by machines, and machine code with AVX-512 runs on some of them only."""
    here, there = (python("-c", FOLDER, NUMBA_CPU_NAME=name) for name in ("haswell", "generic"))
    assert here != there and here == python("-c", FOLDER, NUMBA_CPU_NAME="haswell")


@pytest.mark.parametrize("package", ["numba", "llvmlite"])
def test_another_version_of_the_compiler_has_a_folder_of_its_own(package, monkeypatch):
    before = kept.kernels().folders
    monkeypatch.setattr(f"{package}.__version__", "0.0")
    assert kept.kernels.__wrapped__().folders != before


READY = """
from fastmoments_kernels.cpu import elementwise
from fastmoments_kernels.cpu.compiled import is_ready
print([is_ready(f"relu_mean_2_{dtype}") for dtype in ("float32", "float64")])
elementwise("relu", "mean", dtype="float64")
print([is_ready(f"relu_mean_2_{dtype}") for dtype in ("float32", "float64")])
"""


def test_ready_is_what_is_compiled_here_or_on_disk(tmp_path):
    """A ufunc for one dtype is compiled for no other."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert python("-c", READY, **cache).split("\n")[:2] == ["[False, False]", "[False, True]"]
    assert python("-c", READY, **cache).split("\n")[:2] == ["[False, True]", "[False, True]"]
