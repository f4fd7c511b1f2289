"""Compile every GPU kernel for cards that need not be there, and fail if one spills registers.

usage: python tools/gpu_check.py [--targets 80,90] [activation ...]       all if none is given
"""

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
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
from fastmoments_kernels.gpu.launch import OPTIONS, elementwise_variant, normal_variant
from fastmoments_kernels.gpu.matrices import MATRIX_KERNELS, matrix_variant

DTYPES = {"float32": "fp32", "float64": "fp64"}
PROCESSES = 2
NO_ACTIVATION = "bivariate_normal"


class Usage(NamedTuple):
    """What one compiled kernel takes of a thread."""

    label: str
    registers: int
    spilled: int


def usage(target: str, activation: str, name: str, dtype: str) -> Usage:
    """Compile one variant and read what the assembler says of it."""
    if name in NORMAL:
        variant = normal_variant(name, dtype)
    else:
        variant_of = elementwise_variant if name in BODIES else matrix_variant
        variant = variant_of(activation, name, dtype, parameters_of(activation))
    options = {**OPTIONS, "num_warps": variant.warps}
    source = _source(variant.kernel, variant.constants, DTYPES[dtype])
    compiled = triton.compile(source, target=GPUTarget("cuda", int(target), 32), options=options)
    registers, stack, local = _resources(compiled.asm["cubin"])
    # what is spilled lies on the stack, where other things may lie too: only the assembler tells them apart
    spilled = _spilled(compiled.asm["ptx"], int(target)) if stack or local else 0
    return Usage(f"sm_{target} {activation:12} {name:14} {dtype}", registers, spilled)


def parameters_of(activation: str) -> int:
    """How many numbers an activation's parameters are; of a mixture's, those of two components."""
    row = row_of(activation)
    return sum(2 if field.name in row.components else 1 for field in fields(row.activation))


def kernels_of(activation: str) -> list[str]:
    """Every kernel of an activation, and of no activation those of the bivariate normal."""
    if activation == NO_ACTIVATION:
        return list(NORMAL)
    plain = [name for name, body in BODIES.items() if body.outputs is not None or parameters_of(activation)]
    return [*plain, *MATRIX_KERNELS]


def _source(kernel: Any, constants: dict[str, Any], element: str) -> ASTSource:
    """The kernel with its arrays of one element type, aligned as torch allocates them."""
    types = {"slack": "fp32"} | dict.fromkeys(constants, "constexpr")
    signature = {
        name: f"*{element}" if name.endswith("_ptr") else types.get(name, "i32") for name in kernel.arg_names
    }
    positions = {name: (i,) for i, name in enumerate(kernel.arg_names)}
    aligned = {positions[name]: [["tt.divisibility", 16]] for name in signature if name.endswith("_ptr")}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*(row.name for row in CATALOGUE), NO_ACTIVATION]
    parser.add_argument("activations", nargs="*", choices=every, default=every)
    parser.add_argument("--targets", default="80,90", help="architectures, such as 80,90")
    arguments = parser.parse_args()
    targets = arguments.targets.split(",")
    kernels = [(activation, name) for activation in arguments.activations for name in kernels_of(activation)]
    variants = [(target, *kernel, dtype) for target, kernel, dtype in product(targets, kernels, DTYPES)]
    # Triton is imported already: a fork would share its locks
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        running = pool.map(usage, *zip(*variants, strict=True))
        results = list(tqdm(running, total=len(variants), unit="kernel", disable=None))
    for result in results:
        print(f"{result.label}  {result.registers:3} registers, {result.spilled} spill bytes")
    spilled = sum(result.spilled for result in results)
    print(f"{len(variants) // len(targets)} variants x {len(targets)} targets, {spilled} spill bytes")
    sys.exit(spilled > 0)


if __name__ == "__main__":
    main()
