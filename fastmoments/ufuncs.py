"""The NumPy ufuncs themselves: fm.ufuncs.relu_mean(mu, var), built when first asked for.

They take and return NumPy arrays, float32 or float64, with all of NumPy's keywords; parameters are positional,
those of a pair in turn; a negative variance gives nan.
"""

from typing import Any

from fastmoments.scalars import names, parts_of


def __getattr__(name: str) -> Any:
    activation, kind = parts_of(__name__, name)
    from fastmoments_kernels import cpu

    return cpu.normal(kind) if activation is None else cpu.elementwise(activation, kind)


def __dir__() -> list[str]:
    return names()
