"""What a type checker sees of the public functions."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.feature("NumPy", "types, mypy --strict")
@pytest.mark.feature("PyTorch", "types, mypy --strict")
@pytest.mark.feature("JAX", "types, mypy --strict")
def test_users_code_passes_mypy_strict():
    """In the repository's own cache, which `make lint` has filled."""
    for library in ("torch", "jax"):
        pytest.importorskip(library)
    command = [sys.executable, "-m", "mypy", "--strict", "tests/typed_user.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
