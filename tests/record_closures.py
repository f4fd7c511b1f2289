"""Writes tests/data/closures.json: the closure's error of every network of the tests at an input sd of 1.

usage: python -m tests.record_closures [name ...]       all if none is given; those of JAX are named "jax: ..."

Run it after adding a network, and after improving how one is carried. What `propagate` refuses has no record.
"""

import sys

import jax
import torch

from tests import architectures, architectures_jax
from tests.architectures import run
from tests.architectures_jax import run as run_jax
from tests.closures import SD, closure, of_jax, record

COUNT = 2**16  # twice as many samples, eight times those of the quick test


def main(chosen):
    torch.set_num_threads(1)
    for name, case in architectures.cases().items():
        if not chosen or name in chosen:
            measure(name, run, case)
    with jax.enable_x64(True):
        for name, case in architectures_jax.CASES.items():
            if not chosen or of_jax(name) in chosen:
                measure(of_jax(name), run_jax, case)


def measure(name, module, case):
    """Record one network's closure."""
    case = case._replace(sd=SD)
    try:
        found = module.propagated(case)
    except (TypeError, ValueError) as error:
        print(f"{name}: refused: {error}", flush=True)
        record(name, None)
        return
    new = closure(*found, module.truth_of(case, COUNT, seed=2))
    print(
        f"{name}: mean {new.mean:.2g} +- {new.mean_noise:.1g}, cov {new.cov:.2g} +- {new.cov_noise:.1g}", flush=True
    )
    record(name, new)


if __name__ == "__main__":
    main(sys.argv[1:])
