"""Small networks written as their users write them, in PyTorch: every one is linear or elementwise throughout.

What multiplies, compares or normalises values is left out: gates, attention, MaxPool, LayerNorm, softmax, LSTM, and
KAN with B-splines (the one with Gaussian bumps is here). Those of JAX are in `tests/architectures_jax.py`.
"""

from tests.architectures import blocks, images, layouts, sequences, several, vectors


def cases():
    """Case by name, of all files."""
    found = {}
    for part in (vectors, several, sequences, layouts, images, blocks):
        new = part.cases()
        assert not new.keys() & found.keys()
        found |= new
    return found
