"""Numba's compiler without the work that only separate functions need.

Numba takes every function that a loop calls for one that Python may call too: it wraps it twice, optimises it with
everything linked in that it calls itself, and makes machine code of it. Our loops call hundreds of
functions, and Python calls none of these. In `lean(name)` only the function of that name, the entry, is treated so;
the others are linked into it as they were written. That halves the time of compiling. Arrays are counted without
locks.

The classes and methods that are exchanged are Numba's internals: `compiled` imports this file only with versions of
Numba that it was tested with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numba
from llvmlite import binding as llvm
from numba.core import codegen, cpu, dispatcher
from numba.core.environment import lookup_environment

RUNTIME = ("nrt", "multi3")  # libraries of Numba's own, which are called by address
ENVIRONMENT = "_ZN08NumbaEnv"  # how the names of global variables begin that point to a function's environment
# How an entry counts who uses its arrays: as Numba does but without locks, which take a tenth of the time of a
# small matrix. What it allocates and the views of its arguments are made for every call, and no other thread has
# them. Not inlined, so that Numba finds the counts that it can leave out.
COUNTS = """
declare void @NRT_MemInfo_call_dtor(ptr)

define void @NRT_incref(ptr %info) noinline nounwind {
begin:
  %none = icmp eq ptr %info, null
  br i1 %none, label %end, label %counted
counted:
  %old = load i64, ptr %info
  %new = add i64 %old, 1
  store i64 %new, ptr %info
  br label %end
end:
  ret void
}

define void @NRT_decref(ptr %info) noinline nounwind {
begin:
  %none = icmp eq ptr %info, null
  br i1 %none, label %end, label %counted
counted:
  %old = load i64, ptr %info
  %new = sub i64 %old, 1
  store i64 %new, ptr %info
  %last = icmp eq i64 %new, 0
  br i1 %last, label %free, label %end
free:
  tail call void @NRT_MemInfo_call_dtor(ptr %info)
  br label %end
end:
  ret void
}
"""

_entry: str | None = None  # the function that is compiled as usual


class Library(codegen.JITCodeLibrary):  # type: ignore[misc]
    """The code of a function: of the entry with all that it calls, of any other as it was written."""

    _shared_module: Any

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.is_whole = self.name in (_entry, *RUNTIME)
        self._is_linkable = False

    def _optimize_functions(self, module: Any) -> None:
        # the passes over a function are among those over a whole module
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        """Make machine code of an entry; leave anything else to the entries that call it."""
        self._raise_if_finalized()
        if not self.is_whole:
            self._finalized = True
            return
        counting = ("NRT_incref", "NRT_decref") if self.name == _entry else ()
        if counting:
            self._final_module.link_in(llvm.parse_assembly(COUNTS))
        self._link_into(self._final_module)
        for name in counting:
            self._final_module.get_function(name).linkage = "internal"  # other code calls Numba's
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()
        for variable in self._final_module.global_variables:
            environment = lookup_environment(variable.name) if variable.name.startswith(ENVIRONMENT) else None
            if environment is not None:
                self._codegen.set_env(variable.name, environment)

    def _link_into(self, module: Any) -> None:
        """Link everything that this library calls, directly or not, into a module."""
        called: dict[Any, None] = {}
        self._collect(called)
        for library in called:
            self._reload_init.update(library._reload_init)
            is_written = isinstance(library, Library) and not library.is_whole
            linked = library._as_written() if is_written else library._get_module_for_linking()
            module.link_in(linked, preserve=True)

    def _collect(self, called: dict[Any, None]) -> None:
        for library in self._linking_libraries:
            if library not in called:
                called[library] = None
                if isinstance(library, Library) and not library.is_whole:
                    library._collect(called)

    def _as_written(self) -> Any:
        """The module without what it calls; functions may be defined several times, or be dropped."""
        if not self._is_linkable:
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == llvm.Linkage.external:
                    function.linkage = "linkonce_odr"
            self._is_linkable = True
        return self._final_module

    def _get_module_for_linking(self) -> Any:
        """The module with all that it calls, for libraries of Numba's usual class."""
        if self.is_whole:
            return super()._get_module_for_linking()
        if self._shared_module is None:
            module = self._as_written().clone()
            self._link_into(module)
            self._shared_module = module
        return self._shared_module


class Inner:
    """What stands for the Python wrapper, which was not made, of a function; Numba tells functions apart by it."""

    dispatcher: Any = None

    @cached_property
    def _copy(self) -> Any:
        options = {name: value for name, value in self.dispatcher.targetoptions.items() if name != "nopython"}
        return numba.njit(**options)(self.dispatcher.py_func)

    def __call__(self, *arguments: Any) -> Any:
        """Compile the function once more, as usual: Python calls it after all."""
        return self._copy(*arguments)


def _is_inner(library: Any) -> bool:
    return isinstance(library, Library) and not library.is_whole


def _executable(self: Any, library: Any, *others: Any) -> Any:
    if not _is_inner(library):
        return _USUAL["get_executable"](self, library, *others)
    library._ensure_finalized()
    return Inner()


def _python_wrapper(self: Any, library: Any, *others: Any, **options: Any) -> None:
    if not _is_inner(library):
        _USUAL["create_cpython_wrapper"](self, library, *others, **options)


def _c_wrapper(self: Any, library: Any, *others: Any, **options: Any) -> None:
    if not _is_inner(library):
        _USUAL["create_cfunc_wrapper"](self, library, *others, **options)


def _add_overload(self: Any, result: Any) -> None:
    if isinstance(result.entry_point, Inner):
        result.entry_point.dispatcher = self
        self.overloads[tuple(result.signature.args)] = result
    else:
        _USUAL["add_overload"](self, result)


# what is exchanged: of which class, and for what
_LEAN: dict[str, tuple[Any, Any]] = {
    "_library_class": (codegen.JITCPUCodegen, Library),
    "get_executable": (cpu.CPUContext, _executable),
    "create_cpython_wrapper": (cpu.CPUContext, _python_wrapper),
    "create_cfunc_wrapper": (cpu.CPUContext, _c_wrapper),
    "add_overload": (dispatcher._DispatcherBase, _add_overload),
}
_USUAL = {name: getattr(owner, name) for name, (owner, _) in _LEAN.items()}


@contextmanager
def lean(name: str) -> Iterator[None]:
    """While the entry of this qualified name is compiled, compile all others for it alone.

    Numba's lock keeps other threads from compiling meanwhile; the thread that calls this holds it.
    """
    global _entry
    _entry = name
    for attribute, (owner, exchanged) in _LEAN.items():
        setattr(owner, attribute, exchanged)
    try:
        yield
    finally:
        _entry = None
        for attribute, (owner, _) in _LEAN.items():
            setattr(owner, attribute, _USUAL[attribute])
