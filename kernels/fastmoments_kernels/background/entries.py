"""Entries: the kernels of one function, for one activation and dtype, which are compiled together."""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.catalogue import ROWS
from fastmoments_kernels.kinds import ALL, FIXED, KINDS, OF_NORMAL

LARGE = 128  # rows of matrices that cpu/small.py computes in one call; more are shared by threads
NOTHING = "none"  # the activation of a linear layer alone, and of the bivariate normal


class Entry(NamedTuple):
    """A function of `calls`, its activation, how many parameters, or inputs, it is given, and the arrays' dtype."""

    function: str
    activation: str
    given: int
    dtype: str

    @property
    def text(self) -> str:
        """The entry as one word, which may name a file."""
        return "-".join(map(str, self))

    @property
    def title(self) -> str:
        """The entry as users call it: the public function and the dtype."""
        function = "moments" if self.function == "large_moments" else self.function
        if function == "linear_marginals":
            of = "" if self.activation == NOTHING else f" with {self.activation}"
            return f"a linear layer{of} ({self.dtype})"
        if function == "congruence":
            return f"layers of few neurons ({self.dtype})"
        name = function if self.activation == NOTHING else f"{self.activation}_{function}"
        return f"{name} ({self.dtype})"


def from_text(text: str) -> Entry:
    """The entry of its text."""
    function, activation, count, dtype = text.split("-")
    return Entry(function, activation, int(count), dtype)


def compile_entry(entry: Entry) -> None:
    """Compile the entry and keep it on disk: by the smallest call that needs all of it."""
    from fastmoments_kernels import cpu

    function, activation, count, dtype = entry
    if function in OF_NORMAL:
        cpu.normal(function, dtype)(*_ones(FIXED[0], dtype))
    elif function in KINDS:
        cpu.elementwise(activation, function, count, dtype)(*_ones(count, dtype))
    elif function == "linear_marginals":
        for outputs in (1, 32):  # fewer than a vector of the processor holds, and more
            _linear(cpu, entry, outputs)
    elif function == "congruence":
        one = np.ones((1, 1), dtype)
        cpu.congruence(one[None].copy(), one, one, one, one[None].copy(), False)
    else:
        _matrix(cpu, entry, LARGE + 2 if function == "large_moments" else 2)


def _ones(count: int, dtype: str) -> list[Any]:
    return [np.ones(1, dtype)] * count


def _linear(cpu: Any, entry: Entry, outputs: int) -> None:
    x, weight = np.ones((1, 1), entry.dtype), np.ones((outputs, 1), entry.dtype)
    out = tuple(np.empty((1, outputs), entry.dtype) for _ in range(2))
    name = None if entry.activation == NOTHING else entry.activation
    own = tuple(np.ones(outputs, entry.dtype) for _ in range(entry.given))
    cpu.linear_marginals(name, (x, x), (weight, weight), (None, None), out, own)


def _matrix(cpu: Any, entry: Entry, n: int) -> None:
    function, activation, count, dtype = entry
    mu, cov = np.zeros((1, n), dtype), np.eye(n, dtype=dtype)[None]
    cov[0, 0, 1] = cov[0, 1, 0] = 0.9999  # too strong for a series
    own = tuple(np.ones((1, n), dtype) for _ in range(count))
    if function in ("moments", "large_moments"):
        cpu.moments(activation, mu, cov, mu.copy(), cov.copy(), own)
    elif function in ("block", "block_vjp"):
        side, across = (mu, mu + 1.0, *own), 0.9999 * np.ones_like(cov)
        arrays = (cov.copy(),) if function == "block" else (cov,)
        getattr(cpu, function)(activation, side, side, across, *arrays, 2 * n)
    else:
        getattr(cpu, function)(activation, mu, cov, mu, cov, own)


# seconds that compiling takes, about: functions with series and formulas of pairs, or of neurons alone
SECONDS = {
    "moments": 9.0,
    "large_moments": 11.0,
    "block": 13.0,
    "moments_vjp": 14.0,
    "block_vjp": 16.0,
    "parameter_vjp": 8.0,
    "linear_marginals": 3.0,
    "congruence": 4.0,
}
OF_NEURON, OF_PAIR = 1.0, 4.0
SLOW = {"gelu": 2.0, "gaussian_mixture": 1.5}  # times as long


def seconds_to_compile(entry: Entry) -> float:
    """About how long compiling the entry takes."""
    usual = SECONDS.get(entry.function)
    if usual is None:
        usual = OF_NEURON if ALL[entry.function].neurons == 1 else OF_PAIR
    return usual * SLOW.get(entry.activation, 1.0)


def number_of_components(entry: Entry) -> int:
    """The number of components of a mixture, 1 for other activations."""
    row = ROWS.get(entry.activation)
    if row is None or not row.components:
        return 1
    kind = KINDS.get(entry.function)
    parameters = (entry.given - FIXED[kind.neurons]) // kind.neurons if kind else entry.given
    return max(parameters // len(row.components), 1)
