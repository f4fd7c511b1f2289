"""Kernels for moments of f(X), X Gaussian: formulas written once, and backends that bind them and own the loops.

A call of `fastmoments` arrives at a backend (a folder below) with an activation and arrays. The backend finds the
activation's row in `catalogue`, whose `formula` is a module of `formulas/`; `bind` puts the backend's words (exp,
where, gauss_legendre, ...) in place of those of `vocabulary`, and the backend's loops call the bound functions.

    formulas/              the mathematics: one file per activation and per shared part
    vocabulary             the words that formulas are written in, on NumPy arrays
    bind, reads            a function with other globals: how a formula gets a backend's words
    catalogue, parameters  one row per activation: its name, parameter class, formula and kinks
    kinds                  the elementwise functions: inputs, outputs, derivatives; slack of a determinant
    tables, expansions     constants: of the formulas, written by tools/make_tables.py; of exp, log and sin

    serving/               for NumPy arrays and CPU tensors: cpu/ once it is compiled, eager/ until then
    background/            the process that compiles meanwhile
    cpu/                   Numba, for arrays in main memory; `threads` has its pool of threads
    ahead/                 its loops from object code that a wheel brings, without Numba
    gpu/                   Triton, for CUDA tensors
    xla/                   JAX
    eager/                 NumPy and PyTorch, operation by operation
    arrays                 the loops of xla/ and eager/: whole arrays at a time
    custom/                activations without a closed form, on NumPy arrays
    reference/             slow integrals of the definitions, to check a kernel by eye

    cautions, weighing     warnings at the user's line; gradients through infinite slopes
"""
