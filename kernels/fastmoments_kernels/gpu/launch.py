"""Arrays in, kernels launched, arrays out: grids, tiles and what each dtype takes. No kernel stands here.

Arrays are CUDA tensors, or CPU tensors where Triton interprets; checks and shapes of matrices are the caller's.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.elementwise import BODIES, of_neurons, of_pairs
from fastmoments_kernels.gpu.vocabulary import INTERPRETED

Array = Any

# Products and sums are fused where a formula says fma and nowhere else: the interpreter's bits are the card's,
# and a pair has the same bits as its mirror image.
OPTIONS = {"enable_fp_fusion": False}
PAIR_SLACK = 128  # a pair's determinant may lie below 0 by 64 n eps of var_1 var_2, n = 2: rounding


def on_device_of(tensor: Array) -> AbstractContextManager[Any]:
    """Triton launches on torch's current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def dtype_name(tensor: Array) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def elementwise_constants(name: str, body: str, dtype: str) -> dict[str, Any]:
    """What an elementwise kernel is compiled for: a few elements a thread, fewer where a pair needs registers."""
    kind = BODIES[body]
    block = 512 if kind.inputs == 2 else 128
    return {"BODY": device_function(kind.function, name, dtype), "OUTPUTS": kind.outputs, "BLOCK": block}


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
    constants = elementwise_constants(activation, name, dtype_name(like))
    template = of_neurons if kind.inputs == 2 else of_pairs
    slack = () if kind.inputs == 2 else (PAIR_SLACK * torch.finfo(like.dtype).eps,)
    if like.numel():
        with on_device_of(like):
            grid = (-(-like.numel() // constants["BLOCK"]),)
            kernel(template, activation, dtype_name(like))[grid](
                *inputs, out, like.numel(), *slack, **constants, **OPTIONS
            )
    return out
