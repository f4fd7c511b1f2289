"""Triton's kernels: interpreted anywhere, on a card where there is one. tests/gpu_cases.py says what must hold."""

import pytest

from fastmoments_kernels.catalogue import CATALOGUE
from tests.processes import python
from tests.rows import activations

pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton has wheels for Linux only")

LAYERS = "tests/gpu_layer_cases.py"
# one of the matrices': its pairs go by series and by formula
ONE_MATRIX = "tests/gpu_cases.py::test_moments[relu-float32-strong-5]"
INTERPRETED, COMPILED = "1", None


def run(interpret, *cases, **environment):
    python("-m", "pytest", "-q", "-Wignore", "--tb=short", *cases, TRITON_INTERPRET=interpret, **environment)


def run_cases(row, interpret):
    # by name exactly: one is part of another's, and -k would leave out or take in what it should not
    run(interpret, "tests/gpu_cases.py", GPU_CASES_OF=row.name)


def test_layers_and_a_matrix_interpreted():
    run(INTERPRETED, LAYERS, ONE_MATRIX)


@pytest.mark.slow  # the interpreter takes minutes an activation
@activations
def test_interpreted(row):
    run_cases(row, INTERPRETED)


def test_gpu_check_takes_all_activations_if_none_is_named():
    command = "import sys; sys.path.append('tools'); import gpu_check; print(*gpu_check.parsed([]).activation)"
    found = python("-c", command, TRITON_INTERPRET=COMPILED).split()
    assert found == [*(row.name for row in CATALOGUE), "none"]


@pytest.fixture
def card():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.gpu
@activations
def test_on_a_card(row, card):
    run_cases(row, COMPILED)


@pytest.mark.gpu
def test_layers_on_a_card(card):
    run(COMPILED, "-m", "slow or not slow", LAYERS)
