"""Send tensors to Triton's kernels: on a card, or on the CPU, where Triton interprets, if a test asks for it."""

from fastmoments_kernels.gpu.elementary import INTERPRETED

DEVICE = "cpu" if INTERPRETED else "cuda"


def as_on_a_card(patch):
    """Send tensors of any device to the Triton kernels until the monkeypatch is undone."""
    backend = {"numpy": "cpu", "torch": "gpu"}
    patch.setattr("fastmoments.dispatch.backend_of", lambda framework, device: backend[framework])
    patch.setattr("fastmoments.dispatch._decided", {})
