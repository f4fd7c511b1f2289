"""Activations composed of others: no kernels of their own, one object each.

An object of a class on `base.Composed` is an activation of the generic functions (`fm.moments`, `fm.marginals`,
`fm.mean`, `fm.var`, `fm.gain`, `fm.curvature`, `fm.cov`, `fm.cov_partials`, `fm.moments_vjp`, `fm.cross_cov`), of
layers and of networks. A call passes through in three steps:

1. `moments.py` or `elementwise.py` makes the plan and gives it, with the object, to `calls.py` in the place of a
   framework's module.
2. `calls.py` checks arguments, makes arrays (..., n) and (..., n, n), or of one shape, of the computation's dtype,
   and marks impossible pairs by nan. Dask's arrays it takes block by block. It calls the object's method.
3. The method computes in library-neutral code: `library.xp` has the functions, and the public functions of
   `elementwise.py` those of other activations. `calls.py` gives the result its dtype.

What a class supplies is in `base.py`; it gives matrices by all pairs (`by_pairs.py`) unless the class does better.
Parameters are numbers, shared by all neurons, so that objects can be hashed, compared and used as static arguments.

The `logistic` files are sigmoid, tanh, SiLU and softplus: `slopes` (f, its derivatives), `narrow` and `wide`
(integrals of a neuron), `neurons` (both, with derivatives), `pairs` (series of a pair, with theirs), `mixture`
and `mixed` (pairs whose series is long), `beside` (with other activations). `parameters.py` knows them by name, so
they call those of the catalogue by the framework's module.
"""
