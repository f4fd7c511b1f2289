"""One formula, many backends: the same code over another vocabulary."""

import builtins
import hashlib
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

from fastmoments_kernels.reads import libraries, reads


class Binding:
    """Gives functions other globals, and whatever they call with them, each function once.

    Only globals and literals change, so line numbers, tracebacks and `inspect.getsource` (which Triton reads) still
    point at the one source. What could not be exchanged is an error: `reads` says what.

    Parameters
    ----------
    names : what stands for these globals, wherever they occur: a backend's vocabulary, an activation's weight.
    compile : applied to every bound function (numba.njit, triton.jit), named by what it is bound to: compilers tell
        functions apart by name, in their caches or when they link what they cached, and would take one source bound
        in two ways for one function; default none.
    constant : applied to every other global (tables, numbers); default none.
    literal : applied to every float written in the code itself; default none.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        compile: Callable[[FunctionType], Any] | None = None,
        constant: Callable[[Any], Any] = lambda value: value,
        literal: Callable[[float], Any] | None = None,
    ) -> None:
        self.names, self.compile, self.constant, self.literal = names, compile, constant, literal
        self._bound: dict[FunctionType, Any] = {}

    def __call__(self, function: Callable[..., Any]) -> Any:
        assert isinstance(function, FunctionType)
        if function not in self._bound:
            if self.compile is not None:
                self._bound[function] = self.compile(self.named(function))
            else:
                scope = self.scope(function)
                same = self.literal is None and all(scope[name] is function.__globals__[name] for name in scope)
                self._bound[function] = function if same else self.copy(function)
        return self._bound[function]

    def named(self, function: Callable[..., Any]) -> FunctionType:
        """The function bound and not compiled, named by what it is bound to."""
        assert isinstance(function, FunctionType)
        digest = _digest(function, self.scope(function), self.literal)
        return self.copy(function, f"{function.__qualname__}_{digest}")

    def copy(self, function: Callable[..., Any], name: str | None = None) -> FunctionType:
        """The function bound and not compiled, under another qualified name if one is given."""
        assert isinstance(function, FunctionType)
        scope = {"__builtins__": builtins, "__name__": function.__module__, **self.scope(function)}
        code = function.__code__ if self.literal is None else _with_literals(function.__code__, self.literal)
        defaults = _with_literals(function.__defaults__, self.literal) if self.literal else function.__defaults__
        copy = FunctionType(code, scope, function.__name__, defaults)
        copy.__kwdefaults__ = function.__kwdefaults__
        copy.__qualname__ = name or function.__qualname__
        copy.__doc__, copy.__annotations__ = function.__doc__, function.__annotations__
        copy.__module__ = function.__module__
        return copy

    def scope(self, function: Callable[..., Any]) -> dict[str, Any]:
        """The globals `function` reads, bound."""
        assert isinstance(function, FunctionType)
        package = libraries(function)
        return {name: self._meaning(name, value, package) for name, value in reads(function, self.names).items()}

    def _meaning(self, name: str, value: Any, package: tuple[str, ...]) -> Any:
        if name in self.names:
            return self.names[name]
        if isinstance(value, FunctionType) and value.__module__.partition(".")[0] in package:
            return self(value)
        return self.constant(value)


def bind(function: Callable[..., Any], names: Mapping[str, Any]) -> Any:
    """Return `function` with other globals; use a Binding to bind several with shared parts."""
    return Binding(names)(function)


def _with_literals(value: Any, literal: Callable[[float], Any]) -> Any:
    """Code, or one of its constants, with every float exchanged."""
    if isinstance(value, CodeType):
        return value.replace(co_consts=_with_literals(value.co_consts, literal))
    if isinstance(value, tuple):
        return tuple(_with_literals(entry, literal) for entry in value)
    return literal(value) if isinstance(value, float) else value


def _digest(function: FunctionType, scope: Mapping[str, Any], literal: Any) -> str:
    """A short name for what a function's globals and literals are bound to."""
    meaning = " ".join(f"{name}={_identity(scope[name])}" for name in sorted(scope))
    meaning += "" if literal is None else f" {literal.__name__}"
    meaning += "" if function.__defaults__ is None else f" {function.__defaults__}"
    return hashlib.sha256(meaning.encode()).hexdigest()[:12]


def _identity(value: Any) -> str:
    # numba's dispatchers have py_func, triton's fn
    function = getattr(value, "py_func", getattr(value, "fn", value))
    is_function = isinstance(function, FunctionType)
    return f"{function.__module__}.{function.__qualname__}" if is_function else repr(value)
