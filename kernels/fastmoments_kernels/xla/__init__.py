"""JAX: the functions of arrays.py, traced and compiled by XLA, with derivative rules. No activation is named here.

`functions` makes every function of an activation, jitted once and compiled per shape; `vocabulary` has the
formulas' words on JAX's arrays, the functions of matrices and the derivative rule.

Activations without a closed form have `hermite`, coefficients by quadrature of a fixed size, `series`, every
function by them, and `traced`, which calls a user's function.
"""

from fastmoments_kernels.xla.functions import elementwise, moments, moments_vjp, normal

__all__ = ["elementwise", "moments", "moments_vjp", "normal"]
