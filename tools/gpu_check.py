"""Compile every GPU kernel, without a card; fail if one spills registers or approximates; count (gpu_counts.py).

Formulas need operations that round correctly, of which exp, log, sin and cos are made: no instruction is allowed
whose result may be off by more. The linear layer chooses how tensor cores treat float32. Triton caches compiled
kernels: after a change only the kernels that it concerns are compiled again.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from importlib.metadata import version
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import triton
from gpu_counts import BACKWARD_LIST, Counts, N, counts_of, programs
from tqdm import tqdm
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.gpu.elementwise import LAUNCHED
from fastmoments_kernels.gpu.elementwise import arrays_of as elementwise_arrays
from fastmoments_kernels.gpu.launch import Variant, elementwise_variant, normal_variant
from fastmoments_kernels.gpu.layers import (
    NARROW,
    PRECISIONS,
    SUMS,
    linear_variant,
    mirror_variant,
    shape_of,
    skip_variant,
)
from fastmoments_kernels.gpu.matrices import MATRIX_KERNELS, matrix_variant
from fastmoments_kernels.gpu.matrices_vjp import MATRIX_VJP_KERNELS, PARAMETER_KERNELS, matrix_vjp_variant
from fastmoments_kernels.gpu.strided import MOST
from fastmoments_kernels.kinds import FIXED, OF_NORMAL

ELEMENTS = {"bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
OF_LIST = {"positions_ptr": "*i16", "counts_ptr": "*i32"}
DTYPES = ("float32", "float64")
# of the linear layer: the precision of products, and whether rows begin at multiples of 16 elements
LINEAR = [
    (f"linear {precision} {rows}", dtype)
    for dtype in NARROW
    for precision in PRECISIONS.get(dtype, ("ieee",))
    for rows in ("aligned", "ragged")
]
# what Triton knows of an array's sides when it compiles: nothing, that they are multiples of 16, that they are 1
SIZES = ("any", "16", "1")
MULTIPLE_OF_16 = [["tt.divisibility", 16]]
SIDES = ("n", "columns", "depth")
PROCESSES = 2
NO_ACTIVATION, COUNTED = "none", "relu"


class Usage(NamedTuple):
    """Resources of a compiled kernel: a thread's registers and spilled bytes, a block's bytes of shared memory.

    `approximate` is the number of its instructions that approximate, `programs` how many share a multiprocessor;
    `counts` are of relu's kernels of matrices, else None.
    """

    target: str
    activation: str
    kernel: str
    dtype: str
    size: str
    registers: int
    spilled: int
    shared: int
    warps: int
    approximate: int
    programs: int
    counts: Counts | None


def usage(target: str, activation: str, name: str, dtype: str, size: str) -> Usage:
    """Compile one variant and read the assembler's report."""
    compiled, label = compile_for(int(target), activation, name, dtype, size), (activation, name, dtype, size)
    ptx, metadata = compiled.asm["ptx"], compiled.metadata
    # a kernel that the compiler took for dead code spills nothing either
    assert "st.global" in ptx, f"an empty kernel: sm_{target} {label}"
    registers, stack, local = _resources(compiled.asm["cubin"])
    # spilled registers lie on the stack with other data: only the assembler distinguishes them
    spilled = _spilled(ptx, int(target)) if stack or local else 0
    shared, warps = metadata.shared, metadata.num_warps
    constants, cubin = variant_of(int(target), activation, name, dtype, size).constants, compiled.asm["cubin"]
    return Usage(
        f"sm_{target}",
        *label,
        registers,
        spilled,
        shared,
        warps,
        len(approximations(ptx)),
        programs(int(target), registers, warps, shared),
        counts_of(name, dtype, constants, cubin, 1 if size == "1" else N) if activation == COUNTED else None,
    )


def compile_for(target: int, activation: str, name: str, dtype: str, size: str = "any") -> Any:
    """The kernel `name` compiled by Triton; `asm` has its machine code and the earlier stages."""
    variant = variant_of(target, activation, name, dtype, size)
    source = _source(variant, dtype, arrays_of(activation, name), _known(name, size))
    return triton.compile(source, target=GPUTarget("cuda", target, 32), options=variant.options)


def approximations(ptx: str) -> list[str]:
    """The instructions of a kernel whose results may be off by more than rounding: div.full, ex2.approx, ..."""
    return re.findall(r"\b[a-z]\w*(?:\.\w+)*\.(?:approx|full)\b[.\w]*", ptx)


def variant_of(target: int, activation: str, name: str, dtype: str, size: str = "any") -> Variant:
    """The Variant that launches kernel `name` for an activation and a dtype."""
    if name in OF_NORMAL:
        return normal_variant(name, dtype)
    if name == "skip":
        return skip_variant(dtype)
    if name.startswith("mirror"):
        return mirror_variant(dtype, mend=name == "mirror mend")
    if name.startswith("linear"):
        _, precision, rows = name.split()
        own = None if activation == NO_ACTIVATION else activation
        shape = shape_of(dtype, rows == "aligned", target)
        return linear_variant(own, dtype, shape, precision, rows == "aligned")
    if name in LAUNCHED:
        return elementwise_variant(activation, name, dtype)
    variant = matrix_variant if name in MATRIX_KERNELS else matrix_vjp_variant
    return variant(activation, name, dtype, parameters_of(activation), size == "16")


def arrays_of(activation: str, name: str) -> dict[str, int]:
    """The lengths of the tuples that kernel `name` takes: parameters and outputs, sizes and strides.

    Elementwise kernels read by as many dimensions as they may, which needs most registers.
    """
    parameters = 0 if activation == NO_ACTIVATION else parameters_of(activation)
    if name not in LAUNCHED:  # a matrix's kernel has such outputs only along the parameters
        return {"parameter_ptrs": parameters, "out_ptrs": parameters}
    given, outputs = elementwise_arrays(name, parameters)
    read = FIXED[LAUNCHED[name].neurons] + given
    return {"parameter_ptrs": given, "out_ptrs": outputs, "sizes": MOST - 1, "strides": MOST * read}


def parameters_of(activation: str) -> int:
    """The number of an activation's parameters, for a mixture with two components."""
    row = row_of(activation)
    return sum(2 if field.name in row.components else 1 for field in fields(row.activation))


def kernels_of(activation: str) -> list[tuple[str, str]]:
    """(kernel, dtype) of every kernel of an activation, or, if that is None, of those that depend on none."""
    if activation == NO_ACTIVATION:
        return [*product((*OF_NORMAL, "skip", "mirror", "mirror mend"), DTYPES), *LINEAR]
    has_parameters = parameters_of(activation) > 0
    plain = [name for name, kind in LAUNCHED.items() if kind.neurons and (has_parameters or kind.outputs)]
    of_matrices = *MATRIX_KERNELS, *MATRIX_VJP_KERNELS, *(PARAMETER_KERNELS if has_parameters else ())
    return [*product((*plain, *of_matrices), DTYPES), *LINEAR]


def sizes_of(name: str, wanted: list[str]) -> list[str]:
    """The wanted kinds of sides that a kernel's arrays may have; elementwise kernels have no sides."""
    if name.endswith("_whole") or name in BACKWARD_LIST:  # of a matrix of several tiles, or of pairs
        return [size for size in wanted if size != "1"]
    return ["any"] if name in LAUNCHED else wanted


def _known(name: str, size: str) -> dict[str, str]:
    """The sides of a kernel's arrays that Triton knows; rows of "aligned" begin at multiples of 16 elements."""
    known = dict.fromkeys(SIDES, size)
    if name.endswith("aligned"):
        known["depth"] = "16"
    elif name.endswith("ragged"):
        known["depth"] = "any"
    return known


def _source(variant: Variant, dtype: str, arrays: dict[str, int], known: dict[str, str]) -> ASTSource:
    """The kernel with its arrays of one element type, aligned as torch allocates them."""
    elements = dict.fromkeys(("parameters_ptr", "parameter_ptrs", "mean_sum_ptr", "var_sum_ptr"), SUMS[dtype])
    signature: dict[str, Any] = {}
    constants, aligned = {}, {}
    for position, name in enumerate(variant.kernel.arg_names):
        pointer = OF_LIST.get(name, f"*{ELEMENTS[elements.get(name, dtype)]}")
        if name in variant.constants or known.get(name) == "1":
            signature[name], constants[position,] = "constexpr", variant.constants.get(name, 1)
        elif name in ("sizes", "strides"):
            signature[name] = ("i32",) * arrays[name]
        elif name.endswith("_ptrs"):
            signature[name] = (pointer,) * arrays[name]
            aligned |= {(position, i): MULTIPLE_OF_16 for i in range(arrays[name])}
        else:
            signature[name] = pointer if name.endswith("_ptr") else "fp32" if name == "slack" else "i32"
            if name.endswith("_ptr") or known.get(name) == "16":
                aligned[position,] = MULTIPLE_OF_16
    return ASTSource(variant.kernel, signature, constants, aligned)


def _resources(cubin: bytes) -> tuple[int, int, int]:
    """(registers, bytes of stack, bytes of local memory) of a thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+).* LOCAL:(\d+)", report)
    assert found is not None, report
    return int(found[1]), int(found[2]), int(found[3])


def _spilled(ptx: str, architecture: int) -> int:
    """Bytes that the assembler stores and loads because registers do not suffice."""
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        command = [get_ptxas(architecture).path, "-v", f"--gpu-name={target[1]}", path, "-o", path.with_suffix("")]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return sum(map(int, re.findall(r"(\d+) bytes spill", report)))


def said(result: Usage) -> str:
    """A line of the report."""
    label = f"{result.target} {result.activation:12} {result.kernel:21} {result.dtype:8} {result.size:3}"
    use = f"{result.registers:3} registers, {result.spilled} spill bytes, {result.shared} shared"
    line = f"{label}  {use}, {result.approximate} approximate, {result.programs} programs"
    if result.counts is None:
        return line
    _, typical, strong, beyond, load, store = result.counts
    taken = f"{typical}" if strong == typical else f"{typical} (strong {strong})"
    apart = f" and {beyond} for pairs beyond" if beyond else ""
    return f"{line}; a warp {taken} instructions{apart}, {load} bytes a load, {store} a store"


def report(results: list[Usage]) -> str:
    """The numbers in the form that benchmarks.report reads."""
    versions = {name: version(name) for name in ("triton", "torch")}
    rows = [result._asdict() | {"counts": result.counts and result.counts._asdict()} for result in results]
    return json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n"


def parsed(given: list[str] | None = None) -> argparse.Namespace:
    """The command line's options; all activations if it names none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*(row.name for row in CATALOGUE), NO_ACTIVATION]
    # argparse's choices would refuse an empty list
    parser.add_argument("activation", nargs="*", help="all if none is given")
    parser.add_argument("--targets", default="80,90,100", help="architectures, such as 80,90")
    parser.add_argument("--sizes", default=",".join(SIZES), help="what is known of arrays' sides, such as any,16")
    parser.add_argument("--kernels", help="of these names only, such as pairs,neurons,linear")
    parser.add_argument("--output", type=Path, help="a file for the numbers, as JSON")
    arguments = parser.parse_args(given)
    unknown = ", ".join(sorted(set(arguments.activation) - set(every)))
    if unknown:
        parser.error(f"no activation {unknown}; there are {', '.join(every)}")
    arguments.activation = arguments.activation or every
    return arguments


def main() -> None:
    arguments = parsed()
    targets, sizes = arguments.targets.split(","), arguments.sizes.split(",")
    wanted = tuple(arguments.kernels.split(",")) if arguments.kernels else ("",)
    kernels = [
        (activation, name, dtype, size)
        for activation in arguments.activation
        for name, dtype in kernels_of(activation)
        if name.startswith(wanted)
        for size in sizes_of(name, sizes)
    ]
    variants = [(target, *kernel) for target, kernel in product(targets, kernels)]
    results: list[Usage] = []
    # Triton is imported already: a fork would share its locks
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        running = pool.map(usage, *zip(*variants, strict=True))
        for result in tqdm(running, total=len(variants), unit="kernel", disable=None):
            tqdm.write(said(result))
            results.append(result)
    if arguments.output:
        arguments.output.write_text(report(results))
    spilled, approximate = (
        sum(column) for column in zip(*((r.spilled, r.approximate) for r in results), strict=True)
    )
    print(f"{len(kernels)} variants x {len(targets)} targets, {spilled} spill bytes, {approximate} approximations")
    sys.exit(spilled > 0 or approximate > 0)


if __name__ == "__main__":
    main()
