"""Matrix products whose result is symmetric: one triangle is computed and mirrored."""

from typing import Any

Array = Any

PANEL = 128  # rows of a product: enough for BLAS to run at full speed, few beside what is saved


def by_panels(left: Array, right: Array, out: Array) -> Array:
    """Left (m, n) times right (..., n, m) into `out`, which NumPy or PyTorch made, if the product is symmetric."""
    m = left.shape[0]
    for start in range(0, m, PANEL):
        stop = min(start + PANEL, m)
        out[..., start:stop, start:] = left[start:stop] @ right[..., start:]
        out[..., stop:, start:stop] = out[..., start:stop, stop:].mT
        square = out[..., start:stop, start:stop]
        out[..., start:stop, start:stop] = 0.5 * (square + square.mT)
    return out
