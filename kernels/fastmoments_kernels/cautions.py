"""Tell users: warnings that point at the line of their code, from any depth of calls, and progress."""

import sys
import warnings
from contextlib import suppress

PACKAGES = ("fastmoments", "fastmoments_kernels")


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside these packages; Python shows a warning once per line."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_of_pairs(beyond: bool) -> None:
    """If a correlation is beyond 1, warn that `cov` is no covariance."""
    if beyond:
        warn(
            "cov: not positive semidefinite, some cov_ij^2 > var_i var_j, and the results of such pairs are nan; "
            "moments(..., check=True) names the worst",
            RuntimeWarning,
        )


def say(text: str, end: str = "\n") -> None:
    """Write to standard error, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            print(text, file=sys.stderr, end=end, flush=True)
