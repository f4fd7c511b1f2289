"""Kernels for processors other than the one at hand, as Numba's own settings choose them."""

import pytest

from tests.processes import python
from tests.rows import QUICK

# only the oldest vectors and no fused products; the features of most machines; the features left without AVX
SETTINGS = {
    "generic": {"NUMBA_CPU_NAME": "generic"},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi2"},
    "no AVX": {"NUMBA_ENABLE_AVX": "0"},
}
others = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
WIDTHS = """
from fastmoments_kernels.cpu import machine, patches, products
from fastmoments_kernels.cpu.packs import LANES
print(machine.AVX512, machine.VECTOR, products.SUMS, patches.HEIGHT, LANES)
"""


@others
def test_all_widths_follow_what_is_compiled_for(setting):
    """Without AVX-512 kernels use half as many registers, half as wide, on any machine."""
    assert python("-c", WIDTHS, **setting).split() == ["False", "32", "4", "4", "16"]


@pytest.mark.slow  # everything is compiled anew
@others
@pytest.mark.parametrize("name", QUICK)
def test_the_contract_holds_there(name, setting):
    """Functions of numbers, matrices and their gradients, and layers."""
    tests = (
        f"tests/test_conformance.py::test_conformance[{name}-cpu]",
        "tests/test_matrices.py",
        "tests/test_linear.py",
    )
    chosen = f"({name} and not {name}_) or threads or definition"
    python("-m", "pytest", "-q", "-Wignore", "-m", "slow or not slow", "-k", chosen, *tests, **setting)
