"""NumPy and PyTorch without compiled kernels: the formulas operation by operation, on whole arrays.

`arrays.ArrayFunctions` binds an activation's formula to a library's words and computes every function of it; these
files supply the words, the functions of matrices and the derivative rule.

    on_numpy    float64; a reader can step through it, and tests compare backends with it
    matrices    covariance matrices and their vjp on NumPy arrays, some pairs at a time
    layers      layers of Gaussian weights on NumPy arrays
    on_torch    any device, any number of derivatives, in the tensors' dtype
"""

from fastmoments_kernels.eager.on_numpy import elementwise, normal

__all__ = ["elementwise", "normal"]
