"""The names of the scalar functions, such as "relu_cov", that ufuncs, njit and triton build."""

from fastmoments.hints import did_you_mean
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.formulas.bivariate_normal import NORMAL
from fastmoments_kernels.formulas.scalars import SCALARS

# not for mixtures, whose number of arguments depends on the number of components
NAMES = {f"{row.name}_{kind}": (row.name, kind) for row in CATALOGUE if not row.components for kind in SCALARS}


def parts_of(module: str, name: str) -> tuple[str | None, str]:
    """Return (activation, kind) for a name; the bivariate normal has activation None."""
    if name in NORMAL:
        return None, name
    if name not in NAMES:
        hint = did_you_mean(name, names())
        raise AttributeError(f"module {module!r} has no function {name!r}{hint or f'; there are {names()}'}")
    return NAMES[name]


def names() -> list[str]:
    """Return all names."""
    return [*NAMES, *NORMAL]
