"""The definitions of the kernels' results, one integral per function, to check a kernel by eye.

Slow, scalar, float64, accurate to about 1e-10 of the spread of f(X) and not in the tails; tests judge by mpmath,
not by this. `integrals` has the four functions; each takes an activation and numbers.
"""

from fastmoments_kernels.reference.integrals import cov, gain, mean, var

__all__ = ["cov", "gain", "mean", "var"]
