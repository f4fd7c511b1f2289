"""List the names that a function reads from its module, and raise for those that `bind` could not exchange.

A word that reached a formula by another way than its name would stay NumPy's on every backend, and nothing would
fail but the digits. So a bound function reads numbers, tables and functions. Whatever else could hold a function is
an error when it is bound, which says what to write instead.
"""

import builtins
import dis
from collections.abc import Iterator, Mapping
from functools import cache, partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

from fastmoments_kernels import vocabulary

OWN = __name__.partition(".")[0]
FORMULAS = f"{OWN}.formulas."
# The last two occur in the bodies of classes.
GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
# Instructions with names of something else. Code without any, which most formulas are, need not be taken apart.
OTHER_NAMES = frozenset(dis.hasname) - {dis.opmap.get(name) for name in GLOBAL}
# Triton looks up the annotations' names.
ANNOTATIONS = ("Real", "Reals")
# What a formula may read of Python; `abs` or `max` would be no backend's.
BUILTINS = ("float", "len", "range")
WORDS = {
    name: value
    for name, value in vars(vocabulary).items()
    if callable(value) and not name.startswith("_") and name not in ("Any", "Callable", "Sequence", *ANNOTATIONS)
}
# Where objects keep the function they call: partial, methods, caches and other wrappers, np.vectorize.
HOLDERS = ("func", "args", "keywords", "__func__", "__self__", "__wrapped__", "pyfunc")
# What compilers make of a function: numba.njit, triton.jit, numba's intrinsics.
COMPILED = ("py_func", "fn", "_defn")


def reads(function: FunctionType, exchanged: Mapping[str, Any]) -> dict[str, Any]:
    """The globals that a function, the code nested in it and its annotations name, sorted by name.

    Raises ValueError where one of them, but for those that the binding exchanges, could hold a function that stays
    unbound; so do closures, defaults and imports in the body.
    """
    _check_itself(function)
    names = names_in(function.__code__)
    found = {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
    for name in found.keys() - exchanged.keys():
        _check(function, name, found[name])
    if _is_formula(function):
        for name in names - found.keys() - {*ANNOTATIONS, *BUILTINS}:
            raise _error(function, f"reads `{name}`, which is {_unknown(name)}: use the words of vocabulary.py")
    return found


def libraries(function: FunctionType) -> tuple[str, str]:
    """The packages whose functions are bound where this function calls them; others' are left alone."""
    return OWN, function.__module__.partition(".")[0]


@cache
def names_in(code: CodeType) -> frozenset[str]:
    """Global names in code and in what is nested in it, without those of attributes, which `co_names` has too."""
    names = set(ANNOTATIONS)
    for block in _nested(code):
        if OTHER_NAMES.isdisjoint(block.co_code[::2]):
            names.update(block.co_names)
        else:
            names.update(step.argval for step in dis.get_instructions(block) if step.opname in GLOBAL)
    return frozenset(names)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _imports(code: CodeType) -> bool:
    return any(dis.opmap["IMPORT_NAME"] in block.co_code[::2] for block in _nested(code))


def _check_itself(function: FunctionType) -> None:
    if function.__name__ == "<lambda>":
        raise _error(function, "is a lambda: write a function with a name, by which compilers tell functions apart")
    if function.__closure__:
        names = ", ".join(function.__code__.co_freevars)
        raise _error(function, f"is a closure over {names}: write it over globals and exchange them by `bind`")
    if _imports(function.__code__):
        raise _error(function, "imports in its body: import at the top of the module")
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        if callable(default) or _held(default, libraries(function), is_formula=True) is not None:
            raise _error(function, "has a function for a default: name it in the body")


def _check(function: FunctionType, name: str, value: Any) -> None:
    word = next((word for word, meaning in WORDS.items() if meaning is value), None)
    if name in ANNOTATIONS or word == name:
        return
    if word is not None:
        raise _error(function, f"reads the word `{word}` as `{name}`, and words go by name: import `{word}`")
    package = libraries(function)
    if value is function:
        raise _error(function, "calls itself: a formula has no recursion, no compiler could unroll it")
    if isinstance(value, FunctionType) and _belongs(value, package):
        return  # it is bound in its turn
    if isinstance(value, ModuleType) and _belongs(value, package):
        remedy = f"import its functions themselves, `from {value.__name__} import ...`"
        raise _error(function, f"reads the module {value.__name__} as `{name}`: {remedy}")
    held = _held(value, package, _is_formula(function))
    if held is None:
        return
    if not _belongs(held, package):
        raise _error(function, f"reads {_name(held)} as `{name}`: use the words of vocabulary.py")
    raise _error(function, f"reads `{name}`, in which {_name(held)} would stay unbound: name that function itself")


def _held(value: Any, package: tuple[str, ...], is_formula: bool) -> Any:
    """Return the value, or the part of it, that would have to be bound; None if there is nothing.

    That is a function, a module, a class or an object of the package, and for formulas whatever is called.
    """
    if is_formula and (callable(value) or isinstance(value, ModuleType)):
        return value
    if any(hasattr(value, attribute) for attribute in COMPILED):
        return None
    kind = value if isinstance(value, FunctionType | ModuleType | type) else type(value)
    is_own = _belongs(kind, package) and not _is_record(kind, package)
    if is_own or any(value is word for word in WORDS.values()):
        return value
    return next((held for part in _parts(value) if (held := _held(part, package, is_formula)) is not None), None)


def _is_record(kind: Any, package: tuple[str, ...]) -> bool:
    """Whether a class is a NamedTuple without methods: compilers make structures of those."""
    if not (isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return False
    return not any(isinstance(own, FunctionType) and _belongs(own, package) for own in vars(kind).values())


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, tuple | list | set | frozenset):
        yield from value
    elif isinstance(value, partial) or callable(value) and not isinstance(value, type | FunctionType):
        yield from (getattr(value, name) for name in HOLDERS if hasattr(value, name))


def _belongs(value: Any, package: tuple[str, ...]) -> bool:
    module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in package


def _is_formula(function: FunctionType) -> bool:
    return function.__module__.startswith(FORMULAS)


def _unknown(name: str) -> str:
    return "Python's own" if hasattr(builtins, name) else "not defined in its module, or not before it is bound"


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}" if not isinstance(value, ModuleType) else value.__name__


def _error(function: FunctionType, what: str) -> ValueError:
    return ValueError(f"bind: {function.__module__}.{function.__qualname__} {what}")
