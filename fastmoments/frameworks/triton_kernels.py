"""The Triton kernels, or an error that says what is missing."""

import sys
from typing import Any


def imported(who: str) -> Any:
    """Return the package of the kernels; `who` starts the error, as in "tensors on CUDA need"."""
    try:
        from fastmoments_kernels import gpu
    except ImportError as error:
        remedy = "pip install --upgrade fastmoments[torch,triton]"
        if sys.platform != "linux":  # the extra installs nothing there
            remedy = "it is published for Linux only, compute on the CPU"
        raise ImportError(f"{who} Triton 3.5 or later: {remedy} ({error})") from error
    return gpu
