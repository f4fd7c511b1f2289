"""What the kernels compute, as the definition says it: one integral a function, to check a kernel by eye.

Slow, scalar, float64, accurate to about 1e-10 of the spread of f(X) and not in the tails; the tests' judge is
mpmath, not this.
"""

from fastmoments_kernels.reference.integrals import cov, gain, mean, var

__all__ = ["cov", "gain", "mean", "var"]
