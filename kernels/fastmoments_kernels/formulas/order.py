"""The order of a series' step and the roots it divides by; a backend may tabulate them: no neuron is in them."""

from fastmoments_kernels.vocabulary import Real, Reals, maximum, sqrt


def order_of(n: Real) -> Reals:
    """(n, 1 / sqrt(n), 1 / sqrt(n - 1)) for n >= 1; the last, which is infinite for n = 1, is 1 there."""
    return n, 1.0 / sqrt(n), 1.0 / sqrt(maximum(n - 1.0, 1.0))
