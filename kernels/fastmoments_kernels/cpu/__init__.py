"""Formulas in machine code, and the loops over arrays in main memory. No activation is named here.

Elementwise: `elementwise` makes a NumPy ufunc of an activation's function, compiled on first use. NumPy calls the
inner loop of `loops`, which brings a chunk of every input into the cache and calls a body of `elementwise` on it.
Matrices: `matrices.moments` computes everything per neuron by `neurons`, then threads run `covariance.pairs`: tile
by tile of the upper triangle, patch by patch by the series or, where that needs too many terms, by the formula, as
`beyond.together`. The backward pass is `covariance_vjp.pair_gradients`. Layers: `layers.linear_marginals` runs
`linear.linear`, and `layers.congruence` the products of layers of few neurons, `few.congruences`.

    elementwise, matrices, small,   what the package calls: threads, buffers; loops of object code or compiled
    layers
    layout                          what they and the loops agree on; none of these needs Numba
    compiler, entries, bodies       the loops that they call: templates, bindings, signatures
    scalars                         the functions of numbers for users' own Numba code
    loops, neurons, covariance,     loops, compiled per activation and dtype; `serial` calls those of a small matrix
    covariance_vjp, linear, serial  at once
    few                             the loop of layers of few neurons, compiled per dtype
    tiles, patches, patch_series    parts of a matrix: 64 x 64 in the cache, HEIGHT vectors in registers, and series
    beyond                          pairs beyond the series of their patch
    slopes, hard_slopes, far_slopes parts of the backward pass: tables, long series, pairs beyond the series
    series, products                how many terms a series takes; products of a layer, in registers
    wide, components                mixtures: more operands than a ufunc may have; few numbers of components
    vocabulary, elementary, packs   the formulas' words for numbers and for packs
    vectors, intrinsics, memory     single instructions, loads and stores
    compiled, kept, lean            compiling; machine code on disk; what Numba need not do
    machine, numpy_ufunc            the processor; a ufunc from compiled loops

One word for one thing: a vector is LLVM's vector; a pack is a vector of LANES float64 that Numba takes for one
number; a patch is HEIGHT vectors, the rows of a small part of a matrix; a tile is 64 x 64 elements of a matrix; a
chunk is the elements or rows that a loop does at a time; a block is a rectangular part of a covariance.
"""

from fastmoments_kernels.cpu.elementwise import elementwise, normal
from fastmoments_kernels.cpu.layers import congruence, linear_marginals
from fastmoments_kernels.cpu.matrices import block, block_vjp, moments, moments_vjp, parameter_vjp
from fastmoments_kernels.cpu.small import beside, tell, whole

__all__ = [
    "beside",
    "block",
    "block_vjp",
    "congruence",
    "elementwise",
    "linear_marginals",
    "moments",
    "moments_vjp",
    "normal",
    "parameter_vjp",
    "tell",
    "whole",
]
