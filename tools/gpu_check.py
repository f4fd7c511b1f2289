"""Compile every GPU kernel for cards that need not be there, and fail if one spills registers.

Triton keeps what it compiled: after a change only the kernels that it reaches are compiled again.

usage: python tools/gpu_check.py [--targets 80,90] [activation ...]       all if none is given
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
from tqdm import tqdm
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.gpu.elementwise import BODIES, NORMAL
from fastmoments_kernels.gpu.launch import OPTIONS, Variant, elementwise_variant, normal_variant
from fastmoments_kernels.gpu.layers import NARROW, PRECISIONS, SUMS, linear_variant, shape_of, skip_variant
from fastmoments_kernels.gpu.matrices import MATRIX_KERNELS, matrix_variant

ELEMENTS = {"bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
DTYPES = ("float32", "float64")
# of the linear layer: how products are taken, and whether rows are known to begin at 16 elements
LINEAR = [
    (f"linear {precision} {rows}", dtype)
    for dtype in NARROW
    for precision in PRECISIONS.get(dtype, ("ieee",))
    for rows in ("aligned", "ragged")
]
PROCESSES = 2
NO_ACTIVATION = "none"


class Usage(NamedTuple):
    """What one compiled kernel takes: a thread's registers and bytes spilled, a block's bytes of shared memory."""

    target: str
    activation: str
    kernel: str
    dtype: str
    registers: int
    spilled: int
    shared: int
    warps: int


def usage(target: str, activation: str, name: str, dtype: str) -> Usage:
    """Compile one variant and read what the assembler says of it."""
    variant = variant_of(int(target), activation, name, dtype)
    options = {**OPTIONS, "num_warps": variant.warps}
    source = _source(variant.kernel, variant.constants, dtype, name.endswith("aligned"))
    compiled = triton.compile(source, target=GPUTarget("cuda", int(target), 32), options=options)
    # what a compiler took for dead spills nothing either
    assert "st.global" in compiled.asm["ptx"], f"an empty kernel: sm_{target} {activation} {name} {dtype}"
    registers, stack, local = _resources(compiled.asm["cubin"])
    # what is spilled lies on the stack, where other things may lie too: only the assembler tells them apart
    spilled = _spilled(compiled.asm["ptx"], int(target)) if stack or local else 0
    return Usage(
        f"sm_{target}", activation, name, dtype, registers, spilled, compiled.metadata.shared, variant.warps
    )


def variant_of(target: int, activation: str, name: str, dtype: str) -> Variant:
    """The kernel `name` as it is launched for that activation and dtype."""
    if name in NORMAL:
        return normal_variant(name, dtype)
    if name == "skip":
        return skip_variant(dtype)
    if name.startswith("linear"):
        _, precision, rows = name.split()
        own = None if activation == NO_ACTIVATION else activation
        shape = shape_of(dtype, rows == "aligned", target)
        return linear_variant(own, dtype, shape, precision, parameters_of(activation) if own else 0)
    variant = elementwise_variant if name in BODIES else matrix_variant
    return variant(activation, name, dtype, parameters_of(activation))


def parameters_of(activation: str) -> int:
    """How many numbers an activation's parameters are; of a mixture's, those of two components."""
    row = row_of(activation)
    return sum(2 if field.name in row.components else 1 for field in fields(row.activation))


def kernels_of(activation: str) -> list[tuple[str, str]]:
    """(kernel, dtype) of every kernel of an activation, and of none those that know no activation."""
    if activation == NO_ACTIVATION:
        return [*product((*NORMAL, "skip"), DTYPES), *LINEAR]
    plain = [name for name, body in BODIES.items() if body.outputs is not None or parameters_of(activation)]
    return [*product((*plain, *MATRIX_KERNELS), DTYPES), *LINEAR]


def _source(kernel: Any, constants: dict[str, Any], dtype: str, aligned_rows: bool) -> ASTSource:
    """The kernel with its arrays of one element type, aligned as torch allocates them."""
    types = {"slack": "fp32"} | dict.fromkeys(constants, "constexpr")
    elements = dict.fromkeys(("parameters_ptr", "mean_sum_ptr", "var_sum_ptr"), SUMS[dtype])
    signature = {
        name: f"*{ELEMENTS[elements.get(name, dtype)]}" if name.endswith("_ptr") else types.get(name, "i32")
        for name in kernel.arg_names
    }
    positions = {name: (i,) for i, name in enumerate(kernel.arg_names)}
    multiples = [name for name in signature if name.endswith("_ptr") or (name == "depth" and aligned_rows)]
    aligned = {positions[name]: [["tt.divisibility", 16]] for name in multiples}
    return ASTSource(kernel, signature, {positions[name]: value for name, value in constants.items()}, aligned)


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
    """Bytes that the assembler stores and loads to make room for registers."""
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        command = [get_ptxas(architecture).path, "-v", f"--gpu-name={target[1]}", path, "-o", path.with_suffix("")]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return sum(map(int, re.findall(r"(\d+) bytes spill", report)))


def report(results: list[Usage]) -> str:
    """The numbers as benchmarks.report reads them."""
    versions = {name: version(name) for name in ("triton", "torch")}
    rows = [result._asdict() for result in results]
    return json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n"


def parsed(given: list[str] | None = None) -> argparse.Namespace:
    """What the command line asks for; all activations if it names none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*(row.name for row in CATALOGUE), NO_ACTIVATION]
    # choices would refuse that there is none
    parser.add_argument("activation", nargs="*")
    parser.add_argument("--targets", default="80,90,100", help="architectures, such as 80,90")
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
    targets = arguments.targets.split(",")
    wanted = tuple(arguments.kernels.split(",")) if arguments.kernels else ("",)
    kernels = [
        (activation, name, dtype)
        for activation in arguments.activation
        for name, dtype in kernels_of(activation)
        if name.startswith(wanted)
    ]
    variants = [(target, *kernel) for target, kernel in product(targets, kernels)]
    # Triton is imported already: a fork would share its locks
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        running = pool.map(usage, *zip(*variants, strict=True))
        results = list(tqdm(running, total=len(variants), unit="kernel", disable=None))
    for result in results:
        label = f"{result.target} {result.activation:12} {result.kernel:21} {result.dtype:8}"
        print(f"{label}  {result.registers:3} registers, {result.spilled} spill bytes, {result.shared} shared")
    if arguments.output:
        arguments.output.write_text(report(results))
    spilled = sum(result.spilled for result in results)
    print(f"{len(kernels)} variants x {len(targets)} targets, {spilled} spill bytes")
    sys.exit(spilled > 0)


if __name__ == "__main__":
    main()
