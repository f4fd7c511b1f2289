"""Framework modules against the protocol, each with its own arrays, for test_typing.py. Nothing here runs."""

from typing import Any

import jax
import torch
from numpy.typing import NDArray

import fastmoments.frameworks.jax
import fastmoments.frameworks.numpy
import fastmoments.frameworks.torch
from fastmoments.frameworks import Framework

numpy_arrays: Framework[NDArray[Any]] = fastmoments.frameworks.numpy
tensors: Framework[torch.Tensor] = fastmoments.frameworks.torch
jax_arrays: Framework[jax.Array] = fastmoments.frameworks.jax

mixed: Framework[torch.Tensor] = fastmoments.frameworks.numpy  # type: ignore[assignment]
