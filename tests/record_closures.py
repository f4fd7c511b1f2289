"""Writes tests/data/closures.json: the closure's error of every network of PyTorch's at an input sd of 1.

usage: python -m tests.record_closures [name ...]       all if none is given

Run it after adding a network, and after improving how one is carried. What `propagate` refuses has no record.
"""

import sys

import torch

from tests import architectures
from tests.architectures.run import propagated, truth_of
from tests.closures import SD, closure, record

COUNT = 2**16  # twice as many samples; those of the test are another eighth of them


def main(chosen):
    torch.set_num_threads(1)
    cases = architectures.cases()
    for name in chosen or cases:
        case = cases[name]._replace(sd=SD)
        try:
            found = propagated(case)
        except (TypeError, ValueError) as error:
            print(f"{name}: refused: {error}")
            record({name: None})
            continue
        new = closure(*found, truth_of(case, COUNT, seed=2))
        print(
            f"{name}: mean {new.mean:.2g} +- {new.mean_noise:.1g}, cov {new.cov:.2g} +- {new.cov_noise:.1g}",
            flush=True,
        )
        record({name: new})


if __name__ == "__main__":
    main(sys.argv[1:])
