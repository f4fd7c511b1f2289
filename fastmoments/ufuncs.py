"""The NumPy ufuncs themselves: fm.ufuncs.relu_mean(mu, var), built when first asked for.

They take and return NumPy arrays, float32 or float64, with all of NumPy's keywords; a negative variance gives nan.
"""

from typing import Any

from fastmoments_kernels.catalogue import CATALOGUE

KINDS = ("mean", "var", "gain", "marginals", "cov", "cov_partials")
NORMAL = ("bivariate_normal_cdf", "log_bivariate_normal_cdf", "bivariate_normal_cdf_partials")


def __getattr__(name: str) -> Any:
    from fastmoments_kernels import cpu

    if name in NORMAL:
        return cpu.normal(name)
    for row in CATALOGUE:
        kind = name.removeprefix(row.name + "_")
        # a mixture has as many inputs as its parameters have components
        if name.startswith(row.name + "_") and kind in KINDS and not row.components:
            return cpu.elementwise(row.name, kind)
    raise AttributeError(f"module {__name__!r} has no ufunc {name!r}; there are {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return [f"{row.name}_{kind}" for row in CATALOGUE if not row.components for kind in KINDS] + list(NORMAL)
