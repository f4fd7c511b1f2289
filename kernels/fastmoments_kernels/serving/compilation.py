"""When kernels are compiled: chosen by the variable FASTMOMENTS_COMPILE or by `set_compilation`."""

import os
from typing import Any

VARIABLE = "FASTMOMENTS_COMPILE"
CHOICES = ("background", "wait", "never")
BACKGROUND, WAIT, NEVER = CHOICES

_chosen: str | None = None
# What compiled kernels answer by this setting, entries and functions; looked up before anything else
compiled: set[tuple[Any, ...]] = set()
ufuncs: dict[tuple[Any, ...], Any] = {}


def set_compilation(when: str) -> None:
    """Choose when the CPU kernels are compiled, for this process from now on.

    Parameters
    ----------
    when : "background", "wait" or "never".
        "background", the default: while a kernel is not compiled, calls that NumPy answers in less than about 2 s
        are answered by the same formulas as NumPy operations, and a process of low priority compiles the kernel.
        Calls that would take longer compile it first, with a line on standard error. Both answers keep the
        documented error bounds, but their last bits differ: one call may differ in them from the next.
        "wait": every kernel is compiled at its first call, which takes seconds; all runs have the same bits.
        "never": NumPy answers all calls, 10 to 1000 times as slowly. Numba is not imported.

    Raises
    ------
    ValueError : another choice.

    Notes
    -----
    The variable FASTMOMENTS_COMPILE chooses for processes that do not call this function. Compiled kernels are kept
    on disk, and no setting but "never" changes what happens where they are: they are used. So are those of a wheel
    that brings them compiled, at any setting; FASTMOMENTS_LEVEL=none leaves them out. JAX and CUDA do not depend on
    it.
    """
    global _chosen
    _chosen = _checked("when", when)
    compiled.clear()
    ufuncs.clear()


def compilation() -> str:
    """Return when kernels are compiled: "background", "wait" or "never"; see `set_compilation`."""
    global _chosen
    if _chosen is None:
        _chosen = _checked(VARIABLE, os.environ.get(VARIABLE) or BACKGROUND)
    return _chosen


def _checked(name: str, when: str) -> str:
    if when not in CHOICES:
        raise ValueError(f'{name}: expected "background", "wait" or "never", got {when!r}')
    return when
