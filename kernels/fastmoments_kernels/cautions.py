"""Warnings at the line of the user's code that called, however deep it was noticed."""

import sys
import warnings

PACKAGES = ("fastmoments", "fastmoments_kernels")


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the innermost call from outside these packages: Python shows that once a line."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_of_pairs(beyond: bool) -> None:
    """Say, if a correlation is beyond 1, that the covariance is none."""
    if beyond:
        warn(
            "cov: not positive semidefinite, some cov_ij^2 > var_i var_j, and the results of such pairs are nan; "
            "moments(..., check=True) names the worst",
            RuntimeWarning,
        )
