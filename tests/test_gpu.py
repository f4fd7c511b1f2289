"""Triton's kernels: interpreted anywhere, on a card where there is one. tests/gpu_cases.py says what must hold."""

import os
import subprocess
import sys

import pytest

from tests.rows import activations

pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton has wheels for Linux only")


def run_cases(row, environment):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-Wignore",
        "--tb=short",
        "tests/gpu_cases.py",
    ]
    # by name exactly: one is part of another's, and -k would leave out or take in what it should not
    environment = environment | {"GPU_CASES_OF": row.name}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


@pytest.mark.slow  # the interpreter takes minutes an activation
@activations
def test_interpreted(row):
    run_cases(row, os.environ | {"TRITON_INTERPRET": "1"})


@pytest.mark.gpu
@activations
def test_on_a_card(row):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    run_cases(row, {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"})
