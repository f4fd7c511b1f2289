"""A driver of Triton that compiles for sm_90 and launches nothing, so that calls are measured without a card.

Kernels get CPU tensors; what they would have written stays what it was. A process that uses it needs
TRITON_INTERPRET unset, and cannot launch anything else.
"""

from collections import deque
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

TARGET = GPUTarget("cuda", 90, 32)
KEPT = 64  # launches: a call may be repeated until its time is known
FIRST_ARGUMENT = 4  # of a launcher, after the kernel's metadata and hooks


class Launch(NamedTuple):
    """One launch: the kernel's name, programs and stream, which loaded binary, and all arguments and constants."""

    name: str
    programs: int
    stream: int
    binary: int
    arguments: tuple[Any, ...]


class SilentDriver(DriverBase):
    """The driver: it says what the current device and stream are, and keeps the last launches."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: deque[Launch] = deque(maxlen=KEPT)
        self.device = self.stream = 0
        self.loaded: list[tuple[str, int]] = []  # the name and device of every binary
        self.utils = self

    def launcher_cls(self, source: Any, metadata: Any) -> Any:
        def launch(x: int, y: int, z: int, stream: int, binary: int, *others: Any) -> None:
            assert (y, z) == (1, 1)
            self.launches.append(Launch(metadata.name, x, stream, binary, others[FIRST_ARGUMENT:]))

        return launch

    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[int, int, int, int, int]:
        """Return module, function (the binary's number), registers, spills and the most threads of a block."""
        self.loaded.append((name, device))
        return 1, len(self.loaded) - 1, 0, 0, 1024

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": 232448, "multiprocessor_count": 132, "warpSize": 32, "max_num_regs": 65536}

    def get_current_device(self) -> int:
        return self.device

    def get_current_stream(self, device: int) -> int:
        return self.stream

    def get_current_target(self) -> GPUTarget:
        return TARGET

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    @staticmethod
    def is_active() -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_benchmarker(self) -> Any:
        raise NotImplementedError


def use_silent_driver() -> SilentDriver:
    """Make Triton of this process use a new driver that launches nothing."""
    driver = SilentDriver()
    triton.runtime.driver.set_active(driver)
    return driver
