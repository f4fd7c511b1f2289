"""A user's Triton kernel: run by test_scalars.py in processes of its own, interpreted or compiled for sm_90.

usage: python -m tests.triton_scalars of_neurons|of_pairs     TRITON_INTERPRET=1 runs it and prints errors in eps.
"""

import os
import sys

import torch
import triton
import triton.language as tl

import fastmoments as fm

# ruff: noqa: D103

DTYPES = {"fp64": torch.float64, "fp32": torch.float32}
ROWS = 3


@triton.jit
def of_neurons(mu_ptr, var_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mu = tl.load(mu_ptr + i, mask=i < n, other=0.0)
    var = tl.load(var_ptr + i, mask=i < n, other=1.0)
    tl.store(out_ptr + i, fm.triton.relu_mean(mu, var), mask=i < n)
    tl.store(out_ptr + n + i, fm.triton.npn_mean(mu, var, (1.0, 2.0, 1.0, 0.0)), mask=i < n)
    mean, spread = fm.triton.npn_marginals(mu, var, (1.0, 2.0, var, 0.0))
    tl.store(out_ptr + 2 * n + i, mean + spread, mask=i < n)


@triton.jit
def of_pairs(mu_ptr, var_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mu = tl.load(mu_ptr + i, mask=i < n, other=0.0)
    var = tl.load(var_ptr + i, mask=i < n, other=1.0)
    tl.store(out_ptr + i, fm.triton.relu_cov(mu, 0.5, var, 2.0, 0.5 * var), mask=i < n)
    partials = fm.triton.relu_cov_partials(mu, 0.5, var, 2.0, 0.5 * var)
    tl.store(out_ptr + n + i, partials[4], mask=i < n)
    tl.store(out_ptr + 2 * n + i, fm.triton.bivariate_normal_cdf(mu, mu, 0.3), mask=i < n)


EXPECTED = {
    "of_neurons": lambda mu, var: (
        fm.relu_mean(mu, var),
        fm.npn_mean(mu, var),
        sum(fm.npn_marginals(mu, var, tau=var)),
    ),
    "of_pairs": lambda mu, var: (
        fm.relu_cov(mu, 0.5, var, 2.0, 0.5 * var),
        fm.relu_cov_partials(mu, 0.5, var, 2.0, 0.5 * var).d_cov_12,
        fm.bivariate_normal_cdf(mu, mu, 0.3),
    ),
}


def interpret(name):
    for dtype in DTYPES.values():
        mu, var = torch.linspace(-2, 2, 7, dtype=dtype), torch.linspace(0.5, 2, 7, dtype=dtype)
        out = torch.full((ROWS, 7), torch.nan, dtype=dtype)
        globals()[name][(1,)](mu, var, out, 7, BLOCK=8)
        expected = torch.stack(EXPECTED[name](mu, var))
        print(((out - expected) / expected).abs().max().item() / torch.finfo(dtype).eps)
    of_neurons[(1,)](mu, -var, out, 7, BLOCK=8)
    assert out.isnan().all(), "a negative variance gives nan"


def compile_for_gpu(name):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    for element in DTYPES:
        types = dict.fromkeys(("mu_ptr", "var_ptr", "out_ptr"), f"*{element}") | {"n": "i32", "BLOCK": "constexpr"}
        source = ASTSource(globals()[name], types, constexprs={"BLOCK": 128})
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
        print(len(compiled.asm["cubin"]))


if __name__ == "__main__":
    interpret(sys.argv[1]) if os.environ.get("TRITON_INTERPRET") == "1" else compile_for_gpu(sys.argv[1])
