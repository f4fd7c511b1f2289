"""Triton's kernels: interpreted anywhere, on a card where there is one. tests/gpu_cases.py says what must hold."""

import os
import subprocess
import sys

import pytest

from fastmoments_kernels.catalogue import CATALOGUE
from tests.rows import activations

pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton has wheels for Linux only")

LAYERS = "tests/gpu_layer_cases.py"
# one of the matrices': its pairs go by series and by formula
ONE_MATRIX = "tests/gpu_cases.py::test_moments[relu-float32-strong-5]"
INTERPRETED = os.environ | {"TRITON_INTERPRET": "1"}
COMPILED = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}


def run(environment, *cases):
    command = [sys.executable, "-m", "pytest", "-q", "-Wignore", "--tb=short", *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def run_cases(row, environment):
    # by name exactly: one is part of another's, and -k would leave out or take in what it should not
    run(environment | {"GPU_CASES_OF": row.name}, "tests/gpu_cases.py")


def test_layers_and_a_matrix_interpreted():
    run(INTERPRETED, LAYERS, ONE_MATRIX)


@pytest.mark.slow  # the interpreter takes minutes an activation
@activations
def test_interpreted(row):
    run_cases(row, INTERPRETED)


def test_gpu_check_takes_all_activations_if_none_is_named():
    command = "import gpu_check; print(*gpu_check.parsed([]).activation)"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd="tools", env=COMPILED, capture_output=True, text=True
    )
    assert done.stdout.split() == [*(row.name for row in CATALOGUE), "none"], done.stderr


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
