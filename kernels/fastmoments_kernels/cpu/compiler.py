"""The compiler, imported where object code does not serve."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def compiler(name: str = "entries") -> ModuleType:
    """Return the module of this folder, which needs Numba; where that is not installed, say how to install it."""
    check_installed()
    return import_module(f"{__package__}.{name}")


@cache
def check_installed() -> None:
    """Raise, with the command that installs it, where Numba is not."""
    if find_spec("numba") is None:
        raise ModuleNotFoundError(
            "Numba has to compile this function: no object code of it serves this processor, or FASTMOMENTS_LEVEL "
            "chooses none. "
            'python -m pip install "fastmoments[numba]"',
            name="numba",
        )
