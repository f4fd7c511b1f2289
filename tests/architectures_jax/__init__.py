"""Small networks of batches as JAX's users write them: functions with pytrees of parameters, equinox, flax."""

from zlib import crc32

from tests.architectures_jax import attention, gated, images, vectors

_FILES = vectors.CASES | images.CASES | gated.CASES | attention.CASES
# random numbers depend on nothing but the name, unless a case has a seed
CASES = {name: case._replace(seed=case.seed or crc32(name.encode())) for name, case in _FILES.items()}
