"""JAX: a covariance that lies on several devices stays there."""

import json

import numpy as np
import pytest

from tests import conformance
from tests.processes import python

pytest.importorskip("jax")


# Devices as a grid, and which of its axes cuts cov's rows and which its columns
SHARDINGS = [
    ("moments", (8, 1), ("a", None)),
    ("moments", (8, 1), (None, "a")),
    ("moments", (2, 4), ("a", "b")),
    ("moments_vjp", (8, 1), ("a", None)),
    ("moments_vjp", (4, 2), ("a", "b")),
]
SHARDED = """
import json, re, sys
import jax, numpy as np
import fastmoments as fm
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.test_inputs import gaussian

mesh = Mesh(np.array(jax.devices()).reshape(json.loads(sys.argv[1])), ("a", "b"))
spec = PartitionSpec(*json.loads(sys.argv[2]))
mu, cov = gaussian(64, np.float32)
bar = gaussian(64, np.float32, seed=1)[1]
sharding = NamedSharding(mesh, spec)
given = jax.device_put((mu, cov, mu, bar), (None, sharding, None, sharding))
name, count = sys.argv[3], {"moments": 2, "moments_vjp": 4}[sys.argv[3]]
compiled = jax.jit(lambda *given: getattr(fm, "relu_" + name)(*given)).lower(*given[:count]).compile()
found, want = compiled(*given[:count]), getattr(fm, "relu_" + name)(*(mu, cov, mu, bar)[:count])
text = compiled.as_text()
gathered = [shape.split(",") for shape in re.findall(r"= \\w+\\[([\\d,]*)\\]\\S* all-gather", text)]
print(json.dumps({
    "partitions": int(re.search(r"num_partitions=(\\d+)", text).group(1)),
    "gathered": max((int(np.prod([int(x) for x in shape])) for shape in gathered), default=0),
    "whole": "f32[64,64]" in text,
    "kept": found[1].sharding.is_equivalent_to(sharding, 2),
    "error": max(float(np.abs(x - y).max() / np.abs(y).max()) for x, y in zip(found, want)),
    "symmetric": bool(np.array_equal(found[1], found[1].T)),
}))
"""


@pytest.mark.parametrize(
    "name, mesh, spec",
    [
        ("moments", (4, 2), ("a", "b")),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SHARDINGS),
    ],
)
@pytest.mark.feature("JAX", "lazy, never gathered", "sharded")
def test_a_sharded_covariance_is_not_gathered(name, mesh, spec):
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    found = json.loads(python("-c", SHARDED, json.dumps(mesh), json.dumps(spec), name, **environment))
    # vectors are gathered; of a matrix every device has its block and the part of the mirror image that it is sent
    assert found["partitions"] == 8 and found["gathered"] <= 64 and not found["whole"]
    assert found["kept"] and found["symmetric"]
    # numbers of order one on either side; a gradient is a sum over 64 neurons
    assert found["error"] <= 2 * conformance.BOUND * np.finfo(np.float32).eps * (64 if name == "moments_vjp" else 1)
