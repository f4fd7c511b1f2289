"""Kernels touch no memory beside their arrays, where forbidden pages lie."""

import subprocess
import sys

import pytest

from tests.processes import ROOT, python
from tests.rows import activations

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is mapped as Linux does it")
places = pytest.mark.parametrize("place", ["first", "last"])


@places
def test_an_access_outside_ends_the_process(place):
    command = [sys.executable, "-m", "tests.guard_pages", place, "beyond"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode < 0  # by a signal


@places
@activations
def test_kernels_stay_inside(row, place):
    python("-m", "tests.guard_pages", place, row.name)


@places
def test_the_distribution_function_stays_inside(place):
    python("-m", "tests.guard_pages", place, "bivariate_normal")
