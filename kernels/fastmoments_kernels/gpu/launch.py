"""Arrays in, kernels launched, arrays out: grids, tiles and what each dtype takes. No kernel stands here.

Arrays are CUDA tensors, or CPU tensors where Triton interprets; checks and shapes of matrices are the caller's.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.elementwise import BODIES, of_neurons, of_pairs
from fastmoments_kernels.gpu.vocabulary import INTERPRETED

Array = Any

# Products and sums are fused where a formula says fma and nowhere else: the interpreter's bits are the card's,
# and a pair has the same bits as its mirror image. Given no limit of registers, the assembler sets its own for
# the sake of occupancy and spills.
OPTIONS = {"enable_fp_fusion": False, "maxnreg": 255}
PAIR_SLACK = 128  # a pair's determinant may lie below 0 by 64 n eps of var_1 var_2, n = 2: rounding


class Variant(NamedTuple):
    """A kernel as it is launched and as it is compiled ahead of time: one activation, one dtype."""

    kernel: Any
    constants: dict[str, Any]
    warps: int

    def __call__(self, programs: int, *arguments: Any) -> None:
        """Launch it on a grid of that many programs."""
        self.kernel[(programs,)](*arguments, **self.constants, num_warps=self.warps, **OPTIONS)


def on_device_of(tensor: Array) -> AbstractContextManager[Any]:
    """Triton launches on torch's current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def dtype_name(tensor: Array) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def elementwise_variant(activation: str, name: str, dtype: str) -> Variant:
    """An elementwise kernel: a few elements a thread, one where a pair needs the registers."""
    kind = BODIES[name]
    template, block = (of_neurons, 512) if kind.inputs == 2 else (of_pairs, 128)
    body = device_function(kind.function, activation, dtype)
    constants = {"BODY": body, "OUTPUTS": kind.outputs, "BLOCK": block}
    return Variant(kernel(template, activation, dtype), constants, warps=4)


def elementwise(activation: Any, name: str) -> Callable[..., Any]:
    """The function `name` (of BODIES, or cov_partials) for an activation, on tensors or NumPy arrays that
    broadcast."""
    return partial(_elementwise, row_of(activation).name, name)


def _elementwise(activation: str, name: str, *arrays: Array) -> Any:
    if isinstance(arrays[0], torch.Tensor):
        return _on_tensors(activation, name, *arrays)
    device = "cpu" if INTERPRETED else "cuda"
    values = _on_tensors(activation, name, *(torch.as_tensor(np.asarray(array), device=device) for array in arrays))
    return tuple(v.cpu().numpy() for v in values) if isinstance(values, tuple) else values.cpu().numpy()


def _on_tensors(activation: str, name: str, *arrays: Array) -> Any:
    inputs = [array.contiguous() for array in torch.broadcast_tensors(*arrays)]
    if name == "cov_partials":
        return _cov_partials(activation, *inputs)
    out = _launch(activation, name, inputs)
    return out[0] if BODIES[name].outputs == 1 else tuple(out)


def _cov_partials(activation: str, *inputs: Array) -> tuple[Array, ...]:
    """A kernel each: together the five would spill registers."""
    mu_1, mu_2, var_1, var_2, cov_12 = inputs
    mirrored = (mu_2, mu_1, var_2, var_1, cov_12)
    calls = (("cov_10", inputs), ("cov_10", mirrored), ("half_cov_20", inputs), ("half_cov_20", mirrored))
    return tuple(_launch(activation, name, pair)[0] for name, pair in (*calls, ("product_11", inputs)))


def _launch(activation: str, name: str, inputs: Sequence[Array]) -> Array:
    """Results (outputs, ...) of a function of BODIES on contiguous tensors of one shape."""
    kind, like = BODIES[name], inputs[0]
    out = torch.empty((kind.outputs, *like.shape), dtype=like.dtype, device=like.device)
    variant = elementwise_variant(activation, name, dtype_name(like))
    slack = () if kind.inputs == 2 else (PAIR_SLACK * torch.finfo(like.dtype).eps,)
    if like.numel():
        with on_device_of(like):
            variant(-(-like.numel() // variant.constants["BLOCK"]), *inputs, out, like.numel(), *slack)
    return out
