"""How kernels are launched (`Variant`), and the elementwise ones; matrices.py and layers.py launch their own.

Tensors are CUDA tensors, or CPU tensors where Triton interprets.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from triton.compiler import CompiledKernel

from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.elementary import INTERPRETED
from fastmoments_kernels.gpu.elementwise import (
    BODIES,
    LAUNCHED,
    arrays_of,
    elementwise_neurons,
    elementwise_normal,
    elementwise_pairs,
)
from fastmoments_kernels.gpu.strided import read
from fastmoments_kernels.kinds import FIXED, slack_of

ELEMENTS = 1024 if INTERPRETED else 128  # of a program; the interpreter's time grows with programs, not elements


@dataclass(frozen=True, eq=False)
class Variant:
    """A kernel for one activation and one dtype, to launch or to compile ahead of time.

    `registers` is the most that a thread may take. Without a limit the assembler sets one of its own for occupancy,
    and spills. `launchers` holds what Triton compiled, by device and `specialisation`. To ask Triton takes several
    times as long as to launch: it compares every constant that the kernel reads with what it was.

    Products and sums are fused only where a formula says fma: the interpreter then has the card's bits, and a pair
    those of its mirror image. In a kernel without formulas they may be `fused`.
    """

    kernel: Any
    constants: dict[str, Any]
    warps: int
    registers: int = 255
    fused: bool = False
    launchers: dict[Any, tuple[Any, tuple[Any, ...]]] = field(default_factory=dict, init=False, repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """What the compiler is told besides."""
        return {"enable_fp_fusion": self.fused, "num_warps": self.warps, "maxnreg": self.registers}

    def __call__(self, programs: int, *arguments: Any) -> tuple[CompiledKernel, tuple[Any, ...]] | None:
        """Launch the kernel on a grid of `programs` programs, on the device of the first argument, a tensor.

        That is torch's current device (`on_device_of`). The stream is the current one. Return the binary and the
        constants that its arguments end with, if Triton has told them.
        """
        if INTERPRETED:
            self._by_triton(programs, arguments)
            return None
        key = arguments[0].get_device(), *specialisation(arguments)
        launcher = self.launchers.get(key)
        if launcher is not None:
            compiled, constants = launcher
            compiled[programs, 1, 1](*arguments, *constants)
            return launcher
        compiled = self._by_triton(programs, arguments)
        if isinstance(compiled, CompiledKernel):  # not if hooks or other threads compile
            last = self.kernel.arg_names[len(arguments) :]
            launcher = self.launchers[key] = compiled, tuple(self.constants[name] for name in last)
        return launcher

    def _by_triton(self, programs: int, arguments: tuple[Any, ...]) -> Any:
        return self.kernel[(programs,)](*arguments, **self.constants, **self.options)


def specialisation(arguments: tuple[Any, ...]) -> list[Any]:
    """What Triton compiles a kernel anew for: dtypes, addresses and numbers that are multiples of 16, numbers 1.

    It may tell apart more than Triton does, and not less. Numbers with a point are float32 to Triton, whatever they
    are.
    """
    key: list[Any] = []
    for argument in arguments:
        kind = type(argument)
        if kind is int:
            key.append(argument == 1 or (argument % 16 == 0, argument >> 31))
        elif kind is tuple:
            key.append(tuple(specialisation(argument)))
        elif kind is not float:
            key.append((argument.dtype, argument.data_ptr() % 16))
    return key


def on_device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    """Make the tensor's device torch's current device, on which Triton launches."""
    return torch.cuda.device(tensor.get_device()) if tensor.is_cuda else nullcontext()


@cache
def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@cache
def elementwise_variant(activation: str, name: str, dtype: str) -> Variant:
    """An elementwise kernel: one element per thread, which may need all registers."""
    template = elementwise_neurons if LAUNCHED[name].neurons == 1 else elementwise_pairs
    constants = {"BODY": device_function(BODIES[name], activation, dtype), "BLOCK": ELEMENTS}
    return Variant(kernel(template, activation, dtype), constants, warps=4)


@cache
def normal_variant(name: str, dtype: str) -> Variant:
    """A kernel of the bivariate normal; it depends on no activation."""
    body = device_function(BODIES[name], CATALOGUE[0].name, dtype)
    return Variant(kernel(elementwise_normal, CATALOGUE[0].name, dtype), {"BODY": body, "BLOCK": ELEMENTS}, warps=4)


def elementwise(activation: object, name: str, inputs: int | None = None) -> Callable[..., Any]:
    """The function `name` of KINDS on tensors or NumPy arrays that broadcast."""
    return _function(row_of(activation).name, name)


def normal(name: str) -> Callable[..., Any]:
    """The function `name` of OF_NORMAL on tensors or NumPy arrays that broadcast."""
    return _function(None, name)


@cache
def _function(activation: str | None, name: str) -> Callable[..., Any]:
    return partial(_of_either, partial(_on_tensors, activation, name))


def _of_either(function: Callable[..., Any], *arrays: Tensor) -> Any:
    """Call the function on tensors; NumPy arrays become tensors, and the results NumPy arrays."""
    if isinstance(arrays[0], torch.Tensor):
        return function(*arrays)
    device = "cpu" if INTERPRETED else "cuda"
    values = function(*(torch.as_tensor(np.array(array), device=device) for array in arrays))
    return tuple(v.cpu().numpy() for v in values) if isinstance(values, tuple) else values.cpu().numpy()


def laid_out(tensor: Tensor) -> Tensor:
    """The tensor with contiguous numbers and without torch's bit that negates them lazily."""
    return tensor if tensor.is_contiguous() and not tensor.is_neg() else tensor.resolve_neg().contiguous()


def _on_tensors(activation: str | None, name: str, *inputs: Tensor) -> Any:
    if name == "cov_partials":
        return _cov_partials(activation, *inputs)
    if name == "cov_dparameters":
        of_one, of_two = (_launch(activation, "cov_1_dparameters", pair) for pair in (inputs, _mirrored(inputs)))
        return tuple(row for pair in zip(of_one, of_two, strict=True) for row in pair)
    out = _launch(activation, name, inputs)
    return out[0] if LAUNCHED[name].outputs == 1 else out


def _mirrored(inputs: Sequence[Tensor]) -> list[Tensor]:
    """The pair with its neurons exchanged."""
    mu_1, mu_2, var_1, var_2, cov_12, *parameters = inputs
    exchanged = [x for one, two in zip(parameters[::2], parameters[1::2], strict=True) for x in (two, one)]
    return [mu_2, mu_1, var_2, var_1, cov_12, *exchanged]


def _cov_partials(activation: str | None, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The five derivatives by a kernel each: one kernel would spill registers."""
    mirrored = _mirrored(inputs)
    calls = (("cov_10", inputs), ("cov_10", mirrored), ("half_cov_20", inputs), ("half_cov_20", mirrored))
    return tuple(_launch(activation, name, pair)[0] for name, pair in (*calls, ("product_11", inputs)))


class _Launched(NamedTuple):
    """A kernel, its number of outputs, and what else is passed; inputs beyond `fixed` are passed as a tuple."""

    variant: Variant
    outputs: int
    fixed: int | None
    slack: tuple[float, ...]


@cache
def _launched(activation: str | None, name: str, dtype: torch.dtype, inputs: int) -> _Launched:
    """What is launched for a function of that many inputs; without an activation it is of the bivariate normal."""
    if activation is None:
        return _Launched(normal_variant(name, dtype_name(dtype)), arrays_of(name, 0)[1], None, ())
    neurons = LAUNCHED[name].neurons
    outputs = arrays_of(name, (inputs - FIXED[neurons]) // neurons)[1]
    slack = () if neurons == 1 else (slack_of(2, torch.finfo(dtype).eps),)
    return _Launched(elementwise_variant(activation, name, dtype_name(dtype)), outputs, FIXED[neurons], slack)


def _launch(activation: str | None, name: str, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The results of a kernel on tensors that broadcast, each in memory of its own."""
    like, (arguments, sizes, strides) = inputs[0], read(inputs)
    variant, count, fixed, slack = _launched(activation, name, like.dtype, len(inputs))
    shape = arguments[0].shape
    outputs = tuple(like.new_empty(shape) for _ in range(count))
    size = shape.numel()
    if size:
        others = () if fixed is None else (tuple(arguments[fixed:]),)
        with on_device_of(like):
            programs = -(-size // variant.constants["BLOCK"])
            variant(programs, *arguments[:fixed], *others, outputs, size, sizes, strides, *slack)
    return outputs
