"""What a type checker sees of the public functions."""

import pytest

from tests.processes import python


@pytest.mark.feature("NumPy", "types, mypy --strict")
@pytest.mark.feature("PyTorch", "types, mypy --strict")
@pytest.mark.feature("JAX", "types, mypy --strict")
def test_users_code_passes_mypy_strict():
    """In the repository's own cache, which `make lint` has filled."""
    for library in ("torch", "jax"):
        pytest.importorskip(library)
    python("-m", "mypy", "--strict", "tests/typed_user.py")
