"""The closure's error of whole networks at an input sd of 1: measured against samples and recorded.

`propagate` takes what comes out of an activation, a product or a norm as Gaussian. For a small spread of the input
that is right to the order of its square, which `test_architectures.py` asserts. For a large one it is not, and
`tests/data/closures.json` says by how much: errors of means over the output's sd, of covariances over the product
of two, each the largest of the network, beside the largest standard error of the samples in the same unit.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.sampled_moments import OF_COV, OF_MEAN, excess

RECORD = Path(__file__).parent / "data" / "closures.json"
SD = 1.0


class Closure(NamedTuple):
    """The largest errors of a network's means and covariances, and the largest standard errors of the samples."""

    mean: float
    mean_noise: float
    cov: float
    cov_noise: float


def closure(mean, cov, truth):
    """The errors of moments (m,) and (m, m) against samples; known outputs, of sd 0, have none."""
    moves = np.diag(truth.cov) > 1e-12 * np.diag(truth.cov).max()
    sd = np.sqrt(np.diag(truth.cov))[moves]
    pairs, product = np.ix_(moves, moves), np.outer(sd, sd)
    return Closure(
        float(np.max(np.abs(mean - truth.mean)[moves] / sd)),
        float(np.max(truth.mean_error[moves] / sd)),
        float(np.max(np.abs(cov - truth.cov)[pairs] / product)),
        float(np.max(truth.cov_error[pairs] / product)),
    )


def recorded():
    """Closure by the network's name."""
    entries = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return {name: Closure(**entry) for name, entry in entries.items()}


def judged(name, mean, cov, truth, networks):
    """At most 1 where moments are not further off than the record says, as `sampled_moments.excess`."""
    known = recorded()
    assert name in known, f"run make closures names='\"{name}\"'"
    # a network that is linear for such inputs has no error but that of the Jacobian by which the samples are told
    of_mean, of_cov = max(known[name].mean, OF_MEAN), max(known[name].cov, OF_COV)
    return excess(mean, cov, truth, of_mean, of_cov, networks)


def record(name, new):
    """Write a network's closure, to three digits, rounded up; None takes it out."""
    known = recorded()
    known.pop(name, None)
    if new is not None:
        known[name] = Closure(*map(_up, new))
    entries = {key: known[key]._asdict() for key in sorted(known)}
    RECORD.write_text(json.dumps(entries, indent=1) + "\n")


def of_jax(name):
    """Return the name of a function of JAX in the record."""
    return f"jax: {name}"


def _up(x):
    if x == 0.0:
        return x
    unit = 10.0 ** (math.floor(math.log10(x)) - 2)
    return float(f"{math.ceil(x / unit) * unit:.3g}")
