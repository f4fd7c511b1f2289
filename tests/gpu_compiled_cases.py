"""Every kernel that calls launch is one that tools/gpu_check.py compiles; test_gpu.py runs this in another process.

Triton compiles a kernel anew for sides of arrays that are 1, multiples of 16 or neither. What is not compiled
without a card may spill registers on one, unseen. Nothing is compiled or launched here. Tensors say that they are
on DEVICE, which is not the current device, and of which everything has to be asked.
"""

import sys
from contextlib import contextmanager
from functools import cache
from itertools import product

import pytest
import torch

from fastmoments_kernels import gpu
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.gpu import layers
from fastmoments_kernels.gpu.elementary import Compiled
from fastmoments_kernels.gpu.launch import dtype_name
from fastmoments_kernels.kinds import KINDS, OF_NORMAL, outputs_of
from tests.rows import numbers
from tests.silent_driver import use_silent_driver

SIDES = (1, 5, 16, 130, 144)  # one, part of a tile, several tiles and a part of one; of each kind that Triton knows
DEVICE = 1
READ = ("sizes", "strides")  # one kind for all: arrays of fewer dimensions than gpu_check's take less
ROWS = [row for row in CATALOGUE if row.name in ("relu", "npn", "gaussian_mixture")]


@pytest.fixture(scope="module")
def gpu_check():
    """The module tools/gpu_check.py; tools is no package."""
    sys.path.append("tools")
    import gpu_check

    return gpu_check


@pytest.fixture
def asked(monkeypatch):
    """All that Triton is asked to compile from here on, for tensors that say that they are on a card, DEVICE."""
    driver, found = use_silent_driver(), []

    def note(kernel, key, signature, device, constants, options, attributes, warmup):
        assert device == DEVICE
        given = options.num_warps, options.maxnreg
        found.append(described(kernel, signature, constants, attributes, given))

    @contextmanager
    def current(device):
        driver.device = DEVICE
        yield
        driver.device = 0

    # Triton launches nothing if this returns None
    monkeypatch.setattr(Compiled, "_do_compile", note)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True, raising=False)
    monkeypatch.setattr(torch.Tensor, "get_device", lambda tensor: DEVICE)
    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    return found


def described(kernel, signature, constants, attributes, options):
    """What Triton compiles: a kernel, types, constants, arguments that are multiples of 16; warps and registers."""
    names = list(kernel.arg_names)
    types = tuple((name, str(kind)) for name, kind in signature.items() if name not in READ)
    known = {(names[place[0]], *place[1:]): str(value) for place, value in constants.items()}
    multiples = {(names[place[0]], *place[1:]) for place, value in attributes.items() if value}
    return kernel.fn, types, frozenset(known.items()), frozenset(multiples), options


@cache
def checked(gpu_check, activation):
    """All that gpu_check compiles for sm_90."""
    found = set()
    for name, dtype in gpu_check.kernels_of(activation):
        for size in gpu_check.sizes_of(name, gpu_check.SIZES):
            variant = gpu_check.variant_of(90, activation, name, dtype, size)
            arrays, known = gpu_check.arrays_of(activation, name), gpu_check._known(name, size)
            source = gpu_check._source(variant, dtype, arrays, known)
            options = variant.warps, variant.registers
            found.add(described(source.fn, source.signature, source.constants, source.attrs, options))
    return found


def assert_checked(gpu_check, activation, asked):
    assert asked
    missing = set(asked) - checked(gpu_check, activation)
    assert not missing, "\n".join(f"{kernel.__name__} {others}" for kernel, *others in missing)


dtypes = pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
activations = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@activations
@dtypes
def test_elementwise(row, dtype, asked, gpu_check):
    x = torch.ones(5, dtype=dtype)
    for name, kind in KINDS.items():
        given = [x] * {1: 2, 2: 5}[kind.neurons] + [x] * (kind.neurons * len(numbers(row.name)))
        if outputs_of(name, len(given)):
            gpu.elementwise(row.name, name)(*given)
    assert_checked(gpu_check, row.name, asked)


@dtypes
def test_of_the_normal_distribution(dtype, asked, gpu_check):
    x = torch.ones(5, dtype=dtype)
    for name in OF_NORMAL:
        gpu.normal(name)(x, x, x)
    assert_checked(gpu_check, gpu_check.NO_ACTIVATION, asked)


@pytest.mark.parametrize("n", SIDES)
@activations
@dtypes
def test_matrices(row, dtype, n, asked, gpu_check):
    mu, cov = torch.zeros(2, n, dtype=dtype), torch.zeros(2, n, n, dtype=dtype)
    parameters = tuple(mu for _ in numbers(row.name))
    gpu.moments(row.name, mu, cov, mu, cov, parameters)
    gpu.moments_vjp(row.name, mu, cov, mu, cov, parameters)
    if parameters:
        gpu.parameter_vjp(row.name, mu, cov, mu, cov, parameters)
    assert_checked(gpu_check, row.name, asked)


@pytest.mark.parametrize("n", SIDES)
@dtypes
def test_layers(dtype, n, asked, gpu_check):
    cov, vector = torch.zeros(2, n, n, dtype=dtype), torch.zeros(2, n, dtype=dtype)
    gpu.add_skip(cov, vector, cov, cov)
    gpu.make_symmetric(cov)
    gpu.make_symmetric(cov, vector[:, 0].contiguous())
    assert_checked(gpu_check, gpu_check.NO_ACTIVATION, asked)


@pytest.mark.parametrize("columns", (1, 5, 16))
@pytest.mark.parametrize("depth", (1, 5, 16))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16), ids=str)
@pytest.mark.parametrize("activation", (None, "npn"))
def test_linear_layers(activation, dtype, depth, columns, asked, gpu_check, monkeypatch):
    weights, bias = torch.zeros(columns, depth, dtype=dtype), torch.zeros(columns, dtype=dtype)
    real = torch.promote_types(dtype, torch.float32)
    parameters = tuple(bias.to(real) for _ in (numbers(activation) if activation else ()))
    for rows, precision in product((1, 5, 16), layers.PRECISIONS.get(dtype_name(dtype), ("ieee",))):
        monkeypatch.setattr(layers, "precision_of", lambda dtype, precision=precision: precision)
        inputs, out = torch.zeros(rows, depth, dtype=dtype), torch.zeros(rows, columns, dtype=dtype)
        gpu.linear_marginals(activation, (inputs,) * 2, (weights,) * 2, (bias,) * 2, (out,) * 2, parameters)
    assert_checked(gpu_check, activation or gpu_check.NO_ACTIVATION, asked)
