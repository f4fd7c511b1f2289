"""Kernels for arrays in main memory: Numba's once they are compiled, NumPy's until then.

`fastmoments` calls these for NumPy arrays and CPU tensors, in the place of `cpu`. A call that nothing has compiled
yet is answered by `eager` if that takes little time, while a process of `background` compiles; else it waits.

    calls           the functions of `cpu`
    choice          which kernels answer a call; compiling in this process
    compilation     the setting: in the background, wait, never
    costs           how long NumPy takes
    like_ufunc      a function with the options of a ufunc
"""

from fastmoments_kernels.serving.calls import (
    are_few,
    block,
    block_vjp,
    congruence,
    elementwise,
    few,
    linear_marginals,
    moments,
    moments_vjp,
    normal,
    parameter_vjp,
    tell,
    ufunc,
)

__all__ = [
    "are_few",
    "block",
    "block_vjp",
    "congruence",
    "elementwise",
    "few",
    "linear_marginals",
    "moments",
    "moments_vjp",
    "normal",
    "parameter_vjp",
    "tell",
    "ufunc",
]
