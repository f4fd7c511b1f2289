"""Small networks written as their users write them, in PyTorch. Those of JAX are in `tests/architectures_jax`.

Those of `vectors`, `several`, `sequences`, `layouts`, `images` and `blocks` are linear or elementwise throughout;
the others multiply, compare or normalise values, or draw masks. Those that are refused are in
`tests/test_architectures_refused.py`.
"""

from tests.architectures import (
    attention,
    blocks,
    excited,
    gated,
    heads,
    images,
    layouts,
    maxima,
    noisy,
    normalised,
    pooled,
    recurrent,
    sequences,
    several,
    transformers,
    vectors,
)

ELEMENTWISE = vectors, several, sequences, layouts, images, blocks
OTHERS = gated, excited, pooled, maxima, normalised, attention, transformers, recurrent, heads, noisy


def cases():
    """Case by name, of all files."""
    return of(ELEMENTWISE + OTHERS)


def of(parts):
    """Case by name, of some files."""
    found = {}
    for part in parts:
        new = part.cases()
        assert not new.keys() & found.keys()
        found |= new
    return found
