"""Python's share of a call on a card, by a driver that compiles for sm_90 and launches nothing; no card is needed.

usage: python -m benchmarks.launch

Tensors are on the CPU and treated as on a card. What a card's driver, its allocator and torch's guard of the
current device take comes on top. The minimum over many runs of ten calls, in processor time.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

import fastmoments as fm
from tests.card import as_on_a_card
from tests.silent_driver import SilentDriver, use_silent_driver

N = 8
CALLS, RUNS = 10, 1500


def calls() -> dict[str, Callable[[], Any]]:
    mu, cov = torch.zeros(N), torch.eye(N)
    var = torch.ones(N)
    return {
        "relu_moments": lambda: fm.relu_moments(mu, cov),
        "relu_mean": lambda: fm.relu_mean(mu, var),
        "mu + var": lambda: mu + var,
    }


def microseconds(call: Callable[[], Any]) -> float:
    """The time of a call after the first, which compiles."""
    call()
    best = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, time.process_time() - start)
    return best / CALLS * 1e6


def launches(driver: SilentDriver, call: Callable[[], Any]) -> int:
    driver.launches.clear()
    call()
    return len(driver.launches)


def main() -> None:
    driver = use_silent_driver()
    with pytest.MonkeyPatch.context() as patch:
        as_on_a_card(patch)
        # on a card no value is looked at
        patch.setattr("fastmoments.frameworks.torch.can_read", lambda tensor: False)
        for name, call in calls().items():
            print(f"{name:14} n = {N}: {microseconds(call):5.1f} us, {launches(driver, call)} launches")


if __name__ == "__main__":
    main()
