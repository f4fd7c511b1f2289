"""Compile loops to object code ahead of time, for the processor level that NUMBA_CPU_NAME names.

Numba compiles each loop as it would for its own use; a few lines around it take NumPy's arrays and return its
status. `tools/wheel.py` runs this for every level and activation, and links what it writes.

usage: NUMBA_CPU_NAME=... NUMBA_CPU_FEATURES=... python tools/object_code.py FOLDER ACTIVATION ...
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.core import cgutils

from fastmoments_kernels.ahead.library import NO_MEMORY, UNFIT
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import entries
from fastmoments_kernels.cpu.layers import congruence_label
from fastmoments_kernels.cpu.layers import labels as layer_labels
from fastmoments_kernels.cpu.machine import TARGET
from fastmoments_kernels.kinds import FIXED, KINDS, OF_NORMAL, outputs_of

DTYPES = ("float32", "float64")
I8, I32, I64, F64 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
POINTER = I8.as_pointer()
# PyArrayObject_fields and PyArray_Descr, in bytes after a Python object's header (numpy/ndarraytypes.h)
DATA, NDIM, SHAPE, DESCRIPTION, FLAGS = 0, 8, 16, 40, 48
BYTE_ORDER, TYPE_NUMBER = 10, 12
NATIVE = ord("=")
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400


# What is compiled


def loops(name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every loop of an activation, by label; "none" stands for those that belong to none."""
    if name == "none":
        yield from _of_none()
        return
    parameters = len(fields(row_of(name).activation))
    yield from _matrices(name, parameters)
    yield from _layers(name, parameters)
    yield from _ufuncs(name, parameters)


def _of_none() -> Iterator[tuple[str, Callable[[], Any]]]:
    yield from _layers(None, 0)
    for real in DTYPES:
        label = congruence_label(real)
        yield label, partial(entries.congruences, label, real)
        for vectors in (1, 2):
            label = layer_labels(None, 0, real, vectors)[0]
            yield label, partial(entries.panels, label, real, vectors)
        for kind in OF_NORMAL:
            label = f"{kind}_{FIXED[0]}_{real}"
            yield label, partial(entries.normal, label, kind, real)


def _matrices(name: str, parameters: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    kinds = ["pairs", "placed", "pair_gradients", *(["parameter_gradients"] if parameters else [])]
    alone = [("neurons", "float64"), ("together", "float64")]
    for kind, real in [*alone, *((kind, real) for kind in kinds for real in DTYPES)]:
        dtype = np.dtype(real)
        label = entries.matrix_label(kind, name, parameters, dtype)
        yield label, partial(entries.matrix, kind, name, parameters, dtype)
    for real in DTYPES:
        label = entries.matrix_label("whole", name, parameters, np.dtype(real))
        yield label, partial(entries.whole, label, name, parameters, real)


def _layers(name: str | None, parameters: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    for real in DTYPES:
        for vectors in (1, 2):
            label = layer_labels(name, parameters, real, vectors)[1]
            yield label, partial(entries.layer, label, name, parameters, real, vectors)


def _ufuncs(name: str, parameters: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    for kind, of in KINDS.items():
        inputs = FIXED[of.neurons] + of.neurons * parameters
        for real in DTYPES if outputs_of(kind, inputs) else ():
            label = f"{name}_{kind}_{inputs}_{real}"
            yield label, partial(entries.elementwise, label, name, kind, inputs, real)


# The functions around the loops


def exported(label: str, loop: Any) -> llvm.ModuleRef:
    """The module of a compiled loop with a function `label` that C can call; all else in it is private."""
    is_ufunc = hasattr(loop, "_library")
    if is_ufunc:
        library = loop._library
    else:
        compiled = loop.overloads[loop.signatures[0]]
        library = compiled.library
    module = library._get_module_for_linking().clone()
    around = ir.Module(label)
    around.triple, around.data_layout = module.triple, module.data_layout
    if is_ufunc:
        _ufunc_around(around, label, _entry_of(module, label))
    else:
        _entry_around(around, label, compiled)
    module.link_in(llvm.parse_assembly(str(around)))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in (label, f"{label}.signature", "header", "ndarray"):
            value.linkage = "internal"
    _drop_unused(module)
    return module


def _entry_of(module: llvm.ModuleRef, label: str) -> str:
    """The name of a ufunc's loop itself: its C function, Numba's, would wait for the GIL to print an error."""
    defined = [f.name for f in module.functions if not f.is_declaration]
    (name,) = [name for name in defined if name.startswith("_ZN") and f"{len(label)}{label}" in name]
    return name


def _ufunc_around(module: ir.Module, label: str, name: str) -> None:
    """void(char **, intp *, intp *, void *): Numba's function with room for a result and an exception."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4), label)
    callee = ir.Function(module, ir.FunctionType(I32, [POINTER.as_pointer()] * 2 + [POINTER] * 4), name)
    builder = ir.IRBuilder(function.append_basic_block())
    status = builder.call(callee, [builder.alloca(POINTER), builder.alloca(POINTER), *function.args])
    with builder.if_then(builder.icmp_signed("!=", status, I32(0)), likely=False):
        builder.call(ir.Function(module, ir.FunctionType(ir.VoidType(), []), "loop_failed"), [])
    builder.ret_void()


def _entry_around(module: ir.Module, label: str, compiled: Any) -> None:
    """int(arguments ...): what `ahead.library` calls, and the string that says what it takes.

    It returns a truth value or 0; a negative number says what is wrong.
    """
    context, described = compiled.target_context, compiled.fndesc
    flat = [kind for argument in described.argtypes for kind in _flat(argument)]
    kinds = ["array" if isinstance(kind, types.Array) else str(kind) for kind in flat]
    numbers = [F64 if kind == "float64" else I64 for kind in kinds]
    function = ir.Function(module, ir.FunctionType(I32, numbers), label)
    builder = ir.IRBuilder(function.append_basic_block())
    common = [builder.load(ir.GlobalVariable(module, I64, name)) for name in ("header", "ndarray")]
    values = [
        _array(context, builder, kind, value, *common, -UNFIT - i) if isinstance(kind, types.Array) else value
        for i, (kind, value) in enumerate(zip(flat, function.args, strict=True))
    ]
    passed = iter(values)
    arguments = [_gathered(context, builder, kind, passed) for kind in described.argtypes]
    kind = context.call_conv.get_function_type(described.restype, described.argtypes)
    callee = ir.Function(module, kind, described.llvm_func_name)
    status, value = context.call_conv.call_function(
        builder, callee, described.restype, described.argtypes, arguments
    )
    with builder.if_then(status.is_error, likely=False):
        builder.ret(I32(-NO_MEMORY))
    assert described.restype in (types.boolean, types.none), described.restype
    builder.ret(builder.zext(value, I32) if described.restype == types.boolean else I32(0))
    first = "tuple" if isinstance(described.argtypes[0], types.BaseTuple) else "flat"
    text = " ".join([first, *kinds]).encode() + b"\0"
    constant = ir.Constant(ir.ArrayType(I8, len(text)), bytearray(text))
    cgutils.global_constant(module, f"{label}.signature", constant).linkage = ""


def _flat(kind: Any) -> list[Any]:
    """The type's own, or those in a tuple, in order."""
    return [part for inner in kind.types for part in _flat(inner)] if isinstance(kind, types.BaseTuple) else [kind]


def _gathered(context: Any, builder: ir.IRBuilder, kind: Any, values: Iterator[Any]) -> Any:
    """The next value, or a tuple of the next values."""
    if not isinstance(kind, types.BaseTuple):
        return next(values)
    return context.make_tuple(builder, kind, [_gathered(context, builder, part, values) for part in kind.types])


def _array(
    context: Any, builder: ir.IRBuilder, kind: Any, array: Any, header: Any, ndarray: Any, unfit: int
) -> Any:
    """Numba's view of a NumPy array; the function returns `unfit` unless it is of this type."""
    base = builder.add(array, header)

    def field(place: Any, offset: int, of: ir.Type) -> Any:
        return builder.load(builder.inttoptr(builder.add(place, I64(offset)), of.as_pointer()))

    # the header ends with the object's type
    with builder.if_then(builder.icmp_signed("!=", field(base, -8, I64), ndarray), likely=False):
        builder.ret(I32(unfit))
    wanted = CONTIGUOUS | ALIGNED | (WRITEABLE if kind.mutable else 0)
    description = builder.add(field(base, DESCRIPTION, I64), header)
    tests = [
        builder.icmp_signed("==", field(base, NDIM, I32), I32(kind.ndim)),
        builder.icmp_signed("==", builder.and_(field(base, FLAGS, I32), I32(wanted)), I32(wanted)),
        builder.icmp_signed("==", field(description, TYPE_NUMBER, I32), I32(np.dtype(str(kind.dtype)).num)),
        builder.icmp_signed("==", field(description, BYTE_ORDER, I8), I8(NATIVE)),
    ]
    fits = tests[0]
    for test in tests[1:]:
        fits = builder.and_(fits, test)
    with builder.if_then(builder.not_(fits), likely=False):
        builder.ret(I32(unfit))
    shape = builder.inttoptr(field(base, SHAPE, I64), I64.as_pointer())
    lengths = [builder.load(builder.gep(shape, [I64(k)])) for k in range(kind.ndim)]
    step, strides, count = I64(np.dtype(str(kind.dtype)).itemsize), [], I64(1)
    itemsize = step
    for length in reversed(lengths):
        strides.insert(0, step)
        step, count = builder.mul(step, length), builder.mul(count, length)
    view = context.make_array(kind)(context, builder)
    data = builder.inttoptr(field(base, DATA, I64), view.data.type)
    view.data, view.itemsize, view.nitems = data, itemsize, count
    view.shape, view.strides = cgutils.pack_array(builder, lengths), cgutils.pack_array(builder, strides)
    view.meminfo, view.parent = (cgutils.get_null_value(x.type) for x in (view.meminfo, view.parent))
    return view._getvalue()


def _drop_unused(module: llvm.ModuleRef) -> None:
    """Remove Numba's functions for Python, which nothing calls; what is left stays as it was optimised."""
    manager = llvm.create_new_module_pass_manager()
    manager.add_global_dead_code_eliminate_pass()
    manager.run(module, llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=0)))


def _machine() -> Any:
    """Numba's target but for code that may stand at any address."""
    triple, name, features = TARGET
    options = {"opt": 3, "cpu": name, "features": features, "reloc": "pic", "codemodel": "default"}
    return llvm.Target.from_triple(triple).create_target_machine(**options)


def main(folder: Path, *names: str) -> None:
    """Write the object code of all loops of some activations, "none" for those of none; keep what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for label, compiled in loops(name):
            path = folder / f"{label}.o"
            if not path.exists():
                part = path.with_suffix(".part")  # whole or not at all
                part.write_bytes(_machine().emit_object(exported(label, compiled())))
                part.replace(path)
                print(f"{TARGET[1]} {label}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
