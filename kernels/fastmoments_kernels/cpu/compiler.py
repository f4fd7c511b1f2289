"""The compiler, imported where object code does not serve."""

from importlib import import_module
from types import ModuleType


def compiler(name: str = "entries") -> ModuleType:
    """Return the module of this folder, which needs Numba; where that is not installed, say how to install it."""
    try:
        return import_module(f"{__package__}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("numba", "llvmlite"):
            raise
        raise ModuleNotFoundError(
            "Numba has to compile this function: there is no object code of it for this processor. "
            'python -m pip install "fastmoments[numba]"',
            name=error.name,
        ) from None
