"""The scalar functions by name, such as "relu_cov": what ufuncs, njit and triton each build."""

from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.formulas.bivariate_normal import NORMAL
from fastmoments_kernels.formulas.scalars import SCALARS

# a mixture has as many inputs as its parameters have components
NAMES = {f"{row.name}_{kind}": (row.name, kind) for row in CATALOGUE if not row.components for kind in SCALARS}


def parts_of(module: str, name: str) -> tuple[str | None, str]:
    """(activation, kind) of a name; the activation of the bivariate normal's is None."""
    if name in NORMAL:
        return None, name
    if name not in NAMES:
        raise AttributeError(f"module {module!r} has no function {name!r}; there are {', '.join(names())}")
    return NAMES[name]


def names() -> list[str]:
    """All there are."""
    return [*NAMES, *NORMAL]
