"""Triton: kernels on CUDA tensors, or interpreted on CPU tensors. No activation is named here.

A call arrives at `launch` (elementwise), `matrices` or `layers`. These choose tiles and constants by dtype, ask
`compiled` for the kernel of an activation and a dtype, allocate buffers and launch the kernel on a grid. Calls on
matrices take several launches, chosen once a size as a `schedule`: `covariance.neurons` computes everything per
neuron; then a program per tile of the upper triangle sums the series and lists the pairs that it does not reach:
`pairs_whole` for tiles inside the matrix and above the diagonal, `pairs_edges` for the others. `pairs_beyond` works
the list off by the formula, a pair per thread. The backward pass is in `covariance_vjp`, its part of the list in
`beyond_vjp`, gradients of parameters in `parameters_vjp`; `matrices_vjp` launches these.

    launch, matrices, matrices_vjp, tensors in, launches, tensors out; no kernel stands here
    layers
    schedule                        the launches of a call of several kernels, and the memory they share
    strided                         how arguments that broadcast are read without copies
    elementwise, covariance,        kernels, written against `formulas.identity` and bound to an activation
    covariance_vjp, beyond_vjp,
    parameters_vjp, linear
    series                          the Hermite series of a tile, and how many terms it takes
    beyond                          the list of pairs that it does not reach
    tiles                           where a tile is, what it loads and stores
    scalars                         the functions of numbers for users' own Triton kernels
    vocabulary, elementary          the formulas' words
    compiled                        binding a formula to the words, and compiling

A block, in Triton's sense, is what one program computes: elements of a flat array, or a tile of a matrix.
"""

from fastmoments_kernels.gpu.launch import elementwise, laid_out, normal
from fastmoments_kernels.gpu.layers import add_skip, linear_marginals, make_symmetric
from fastmoments_kernels.gpu.matrices import moments
from fastmoments_kernels.gpu.matrices_vjp import moments_vjp, parameter_vjp
from fastmoments_kernels.gpu.scalars import normal_scalar, scalar

__all__ = [
    "add_skip",
    "elementwise",
    "laid_out",
    "linear_marginals",
    "make_symmetric",
    "moments",
    "moments_vjp",
    "normal",
    "normal_scalar",
    "parameter_vjp",
    "scalar",
]
