"""A formula as a Triton kernel: run by test_bind.py in processes of its own, interpreted or compiled for sm_90.

usage: python -m tests.triton_binding mean|cov     TRITON_INTERPRET=1 runs it and prints the largest error.
"""

import os
import sys

import numpy as np
import torch
import triton
import triton.language as tl

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.formulas import relu

# ruff: noqa: D103


@triton.jit
def exp(x):
    return tl.exp(x)


@triton.jit
def sqrt(x):
    return tl.sqrt(x)


@triton.jit
def absolute(x):
    return tl.abs(x)


@triton.jit
def minimum(a, b):
    return tl.minimum(a, b)


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b)


@triton.jit
def where(condition, a, b):
    return tl.where(condition, a, b)


@triton.jit
def unit(x):
    return x * 0.0 + 1.0


@triton.jit
def difference_of_products(a, b, c, d):
    product = c * d
    return tl.fma(a, b, -product) + tl.fma(-c, d, product)


@triton.jit
def polynomial(coefficients: tl.constexpr, x):
    total = x * 0.0 + coefficients[0]
    for i in tl.static_range(1, len(coefficients)):
        total = total * x + coefficients[i]
    return total


@triton.jit
def gauss_legendre(rule: tl.constexpr, integrand: tl.constexpr, context):
    total = 0.0
    for i in tl.static_range(len(rule)):
        total += rule[i][1] * integrand(rule[i][0], context)
    return total


@triton.jit
def either(condition, first: tl.constexpr, second: tl.constexpr, arguments):
    return tl.where(condition, first(*arguments), second(*arguments))


@triton.jit
def shortcut(condition, quick: tl.constexpr, general: tl.constexpr, arguments):
    return general(*arguments)


WORDS = ("exp", "sqrt", "absolute", "minimum", "maximum", "where", "unit", "difference_of_products", "polynomial")
VOCABULARY = {name: globals()[name] for name in (*WORDS, "gauss_legendre", "either", "shortcut")}


def jit(function):
    function.__globals__["tl"] = tl  # the interpreter needs it in every function that it runs
    return triton.jit(function)


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# compiled kernels read only constexpr globals, the interpreter reads any
constant = (lambda value: value) if INTERPRETED else tl.constexpr
bind = Binding(VOCABULARY | {"Real": None, "Reals": None}, compile=jit, constant=constant)


@triton.jit
def mean_kernel(mu_ptr, var_ptr, out_ptr, n, NEURON: tl.constexpr, MEAN: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mu = tl.load(mu_ptr + i, mask=i < n, other=0.0)
    var = tl.load(var_ptr + i, mask=i < n, other=1.0)
    tl.store(out_ptr + i, MEAN(NEURON(mu, var, ())), mask=i < n)


@triton.jit
def cov_kernel(mu_ptr, var_ptr, out_ptr, n, NEURON: tl.constexpr, COV: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mu = tl.load(mu_ptr + i, mask=i < n, other=0.0)
    var = tl.load(var_ptr + i, mask=i < n, other=1.0)
    neuron = NEURON(mu, var, ())
    tl.store(out_ptr + i, COV(neuron, neuron, 0.5 * var, 0.0), mask=i < n)


KERNELS = {
    "mean": (
        mean_kernel,
        {"NEURON": bind(relu.neuron), "MEAN": bind(relu.mean)},
        lambda mu, var: relu.mean(relu.neuron(mu, var, ())),
    ),
    "cov": (
        cov_kernel,
        {"NEURON": bind(relu.neuron), "COV": bind(relu.cov)},
        lambda mu, var: relu.cov(relu.neuron(mu, var, ()), relu.neuron(mu, var, ()), 0.5 * var, 0.0),
    ),
}


def interpret(name):
    kernel, formulas, on_numpy = KERNELS[name]
    mu, var = np.linspace(-3.0, 3.0, 7), np.linspace(0.5, 2.0, 7)
    out = torch.full((7,), torch.nan, dtype=torch.float64)
    kernel[(1,)](torch.tensor(mu), torch.tensor(var), out, 7, **formulas, BLOCK=8)
    with np.errstate(all="ignore"):
        print(np.max(np.abs(out.numpy() / on_numpy(mu, var) - 1.0)))


def compile_for_gpu(name):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel, formulas, _ = KERNELS[name]
    signature = {key: "*fp64" for key in ("mu_ptr", "var_ptr", "out_ptr")} | {"n": "i32"}
    constants = {**formulas, "BLOCK": 128}
    source = ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    options = {"enable_fp_fusion": False}
    print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["cubin"]))


if __name__ == "__main__":
    interpret(sys.argv[1]) if INTERPRETED else compile_for_gpu(sys.argv[1])
