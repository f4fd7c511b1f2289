"""Which kernels answer a call: compiled ones, or NumPy's while those are not compiled."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fastmoments_kernels import ahead
from fastmoments_kernels.background import marks, process
from fastmoments_kernels.background.entries import NOTHING, Entry, compile_entry, seconds_to_compile
from fastmoments_kernels.catalogue import ROWS
from fastmoments_kernels.cautions import say, warn
from fastmoments_kernels.cpu.compiler import check_installed
from fastmoments_kernels.kinds import OF_NORMAL
from fastmoments_kernels.serving import compilation as setting
from fastmoments_kernels.serving.costs import seconds_by_numpy

PATIENCE = 2.0  # seconds that NumPy may take for a call
IN_ALL = 20.0  # seconds that it may take for the calls of an entry: the process should have compiled it by then
# what the command line calls the functions that it compiles, beside the activation's name
ALIKE = ("moments", "moments_vjp", "mean", "var", "gain", "marginals", "cov", "cov_partials")
COMMANDS = {name: name for name in ALIKE} | {
    "large_moments": "moments",
    "parameter_vjp": "moments_vjp",
    "linear_marginals": "layer",
}

_by_numpy: dict[Entry, float] = {}  # seconds that NumPy took for entries that are not
_told: set[Entry] = set()  # that they cannot be compiled, which waiting for them would not change
_said: set[Entry] = set()  # that they are compiled in this process, which many threads may wait for
_listed: ContextVar[dict[Entry, None] | None] = ContextVar("entries of calls", default=None)


def by_numpy(entry: Entry, numbers: int) -> bool:
    """Whether NumPy answers a call that takes so many neurons, pairs or multiplications; else it is compiled."""
    if entry in setting.compiled:
        return False
    listed, seconds = _listed.get(), seconds_by_numpy(entry, numbers)
    if listed is not None:
        listed[entry] = None
        return True
    when = setting.compilation()
    if _is_ahead(entry) or (when != setting.NEVER and marks.has(entry.text)):
        _now_compiled(entry)
        return False
    if when != setting.NEVER:
        check_installed()
    spent = _by_numpy.get(entry, 0.0) + seconds
    in_time = seconds <= PATIENCE and (spent <= IN_ALL or entry in _told)
    if when == setting.NEVER or (when == setting.BACKGROUND and in_time and _in_background(entry)):
        _by_numpy[entry] = spent
        return True
    compile_here(entry)
    return False


def at_hand(entry: Entry, numbers: int) -> bool:
    """Whether a compiled kernel answers a call for which no kernel is needed.

    NumPy does where Numba is not installed and, in the background, until another process has compiled the kernel.
    """
    if entry in setting.compiled or not (_is_ahead(entry) or _can_compile()):
        return entry in setting.compiled
    if setting.compilation() != setting.BACKGROUND or _listed.get() is not None or is_compiled(entry):
        return not by_numpy(entry, numbers)
    _by_numpy.setdefault(entry, 0.0)
    _in_background(entry)
    return False


def _can_compile() -> bool:
    try:
        check_installed()
    except ModuleNotFoundError:
        return False
    return True


def _in_background(entry: Entry) -> bool:
    """Have the entry compiled by another process; whether one does, or none can."""
    try:
        return process.give(entry.text)
    except process.CannotCompileError as error:
        if entry not in _told:
            _told.add(entry)
            warn(f"{entry.title} is answered by NumPy, slowly: it cannot be compiled: {error}", RuntimeWarning)
        return True


def compile_here(entry: Entry, told: bool = True) -> None:
    """Compile the entry in this process, or wait for the one that does; say so on standard error if `told`."""
    check_installed()
    if told and entry not in _said:
        _said.add(entry)
        say(
            f"fastmoments: compiling {entry.title}, about {seconds_to_compile(entry):.0f} s, {where_kept()}"
            f"{_ahead_of_time(entry)}"
        )
    with marks.alone(entry.text, wait=True):
        if entry not in setting.compiled:  # by another thread meanwhile
            compile_entry(entry)
            marks.put(entry.text)
            if setting.compilation() != setting.NEVER:  # for other processes then
                _now_compiled(entry)


def _ahead_of_time(entry: Entry) -> str:
    """The command that compiles the entry before it is called; nothing for what no command names, as a mixture."""
    if entry.function in OF_NORMAL:
        name = entry.function
    elif entry.activation in ROWS and not ROWS[entry.activation].components and entry.function in COMMANDS:
        name = f"{entry.activation}_{COMMANDS[entry.function]}"
    else:
        return ""
    return f"; `python -m fastmoments warm-up {name} --dtypes {entry.dtype}` does so ahead of time"


def where_kept() -> str:
    """Where what is compiled is kept, in words."""
    folder = marks.folder()
    return "for this process alone: no folder can be written" if folder is None else f"kept in {folder.parent}"


def required(entry: Entry) -> None:
    """Compile the entry if it is not: only the compiled function can be returned."""
    if entry in setting.compiled or _is_ahead(entry):
        return
    if setting.compilation() == setting.NEVER:
        raise RuntimeError(
            f"{entry.title}: NumPy's ufuncs are compiled, but compilation is set to never; "
            f"use the functions of fastmoments itself, or fm.set_compilation"
        )
    if marks.has(entry.text):
        _now_compiled(entry)
    else:
        compile_here(entry)


def is_compiled(entry: Entry) -> bool:
    """Whether the entry is compiled and kept, or at hand."""
    return entry in setting.compiled or _is_ahead(entry) or marks.has(entry.text)


def _is_ahead(entry: Entry) -> bool:
    """Whether there is object code of the entry: then nothing is compiled, whatever the setting."""
    return ahead.holds(None if entry.activation == NOTHING else entry.activation)


def _now_compiled(entry: Entry) -> None:
    setting.compiled.add(entry)
    _by_numpy.pop(entry, None)


@contextmanager
def listing() -> Iterator[dict[Entry, None]]:
    """Collect the entries of calls, which NumPy answers, in their order."""
    found: dict[Entry, None] = {}
    token = _listed.set(found)
    try:
        yield found
    finally:
        _listed.reset(token)


def routes() -> dict[str, str]:
    """By function and dtype, what answered the last call in this process: "compiled" or "numpy"."""
    answered = {Entry(*entry).title: "compiled" for entry in tuple(setting.compiled)}
    return answered | {entry.title: "numpy" for entry in tuple(_by_numpy)}
