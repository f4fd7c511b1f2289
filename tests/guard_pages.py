"""NumPy's arrays between forbidden pages: a read or write outside of an array ends the process.

usage: python -m tests.guard_pages first|last NAME      run by test_guard_pages.py in processes of its own

Every array that NumPy makes under `guarded`, inputs and results and those between, ends where a forbidden page
begins, or begins where one ends, and is filled with nan. NAME is an activation, "bivariate_normal", or "beyond": an
access outside, which has to end the process.
"""

import ctypes
import mmap
import sys
from contextlib import contextmanager
from dataclasses import fields
from itertools import product

import numpy as np
from numpy._core import _multiarray_umath

import fastmoments as fm
from fastmoments_kernels.catalogue import row_of
from tests.rows import EXAMPLES, function

# around sizes at which loops end: tiles of 64, vectors of 4 to 16 numbers, several of them at once
SIZES = (1, 2, 7, 8, 9, 31, 33, 63, 64, 65, 129)
SHAPES = [((), n) for n in SIZES] + [((3,), 5), ((2,), 66)]  # of neurons, behind leading dimensions
DTYPES = ("float64", "float32")

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
libc.mprotect.argtypes, libc.munmap.argtypes = (
    (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
    (
        ctypes.c_void_p,
        ctypes.c_size_t,
    ),
)
PAGE, NO_ACCESS, NAN = mmap.PAGESIZE, 0, 0xFF


class Allocator:
    """Memory that begins or ends with pages of its own, with a forbidden page on either side."""

    def __init__(self, first):
        self.first, self.pages = first, {}

    def malloc(self, context, size):
        size = max(size, 1)
        inner = -(-size // PAGE) * PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        base = libc.mmap(None, inner + 2 * PAGE, NO_ACCESS, flags, -1, 0)
        assert libc.mprotect(base + PAGE, inner, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        address = base + PAGE + (0 if self.first else inner - size)
        ctypes.memset(address, NAN, size)
        self.pages[address] = base, inner + 2 * PAGE, size
        return address

    def calloc(self, context, count, size):
        address = self.malloc(context, count * size)
        ctypes.memset(address, 0, count * size)
        return address

    def realloc(self, context, address, size):
        fresh = self.malloc(context, size)
        if address:
            ctypes.memmove(fresh, address, min(size, self.pages[address][2]))
            self.free(context, address, 0)
        return fresh

    def free(self, context, address, size):
        if address:
            base, length, _ = self.pages.pop(address)
            assert libc.munmap(base, length) == 0


# numpy/ndarraytypes.h: PyDataMemAllocator and PyDataMem_Handler
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_SIGNATURES = {
    "malloc": ctypes.CFUNCTYPE(_POINTER, _POINTER, _SIZE),
    "calloc": ctypes.CFUNCTYPE(_POINTER, _POINTER, _SIZE, _SIZE),
    "realloc": ctypes.CFUNCTYPE(_POINTER, _POINTER, _POINTER, _SIZE),
    "free": ctypes.CFUNCTYPE(None, _POINTER, _POINTER, _SIZE),
}
_SET_HANDLER = 304  # the place of PyDataMem_SetHandler in the table, fixed by NumPy's ABI


class _Handler(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", _POINTER)] + list(
        _SIGNATURES.items()
    )


def _set_handler(capsule):
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = _POINTER, (ctypes.py_object, ctypes.c_char_p)
    table = ctypes.cast(pointer_of(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(_POINTER))
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])(capsule)


_kept = []  # arrays may live longer than `guarded`


@contextmanager
def guarded(first):
    """Make NumPy's arrays begin at the first byte of a page, or end at the last one."""
    allocator = Allocator(first)
    functions = [kind(getattr(allocator, name)) for name, kind in _SIGNATURES.items()]
    handler = _Handler(b"guard pages", 1, None, *functions)
    _kept.append((handler, functions))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (_POINTER, ctypes.c_char_p, _POINTER)
    before = _set_handler(new(ctypes.addressof(handler), b"mem_handler", None))
    try:
        yield allocator
    finally:
        _set_handler(before)


def gaussian(shape, dtype):
    batch, n = shape
    rng = np.random.default_rng(n)
    root = rng.normal(size=(*batch, n, n + 2)) / np.sqrt(n + 2)
    return rng.normal(size=(*batch, n)).astype(dtype), (root @ np.swapaxes(root, -1, -2)).astype(dtype)


def of_activation(name, shape, dtype):
    """Call every kernel of an activation: matrices, layers, then functions of numbers."""
    (mu, cov), own = gaussian(shape, dtype), EXAMPLES.get(name, {})
    yield from function(name, "moments")(mu, cov)
    result = function(name, "moments")(mu, cov, out=(np.empty_like(mu), np.empty_like(cov)))
    yield from result
    yield from function(name, "moments_vjp")(mu, cov, *result)
    if fields(row_of(name).activation):
        yield from function(name, "moments_vjp")(mu, cov, *result, return_parameters=True).parameters_bar.values()
    var = np.einsum("...ii->...i", cov).copy()
    weight = np.cos(np.arange(7.0 * mu.shape[-1])).reshape(7, -1).astype(dtype)
    activation = row_of(name).activation(**own)
    yield from fm.bayes_linear_marginals(mu, var, weight, weight * weight, activation=activation)
    yield from fm.residual_moments(activation, mu, cov, weight, C=weight)
    for kind in ("mean", "var", "gain"):
        yield function(name, kind)(mu, var)
    yield from function(name, "marginals")(mu, var)
    pair = mu, mu[..., ::-1].copy(), var, var[..., ::-1].copy(), 0.3 * np.sqrt(var * var[..., ::-1])
    yield function(name, "cov")(*pair)
    yield from function(name, "cov_partials")(*pair)


def of_normal(name, shape, dtype):
    h, cov = gaussian(shape, dtype)
    arguments = h, h[..., ::-1].copy(), np.tanh(np.einsum("...ii->...i", cov))
    yield fm.bivariate_normal_cdf(*arguments)
    yield fm.log_bivariate_normal_cdf(*arguments)
    yield from fm.bivariate_normal_cdf_partials(*arguments)


def beyond(first):
    """Read beyond the end of an array."""
    with guarded(first):
        array = np.zeros(5)
        ctypes.c_double.from_address(array.ctypes.data + (-8 if first else array.nbytes)).value  # noqa: B018


def main(where, name):
    first = where == "first"
    if name == "beyond":
        beyond(first)
    results = of_normal if name == "bivariate_normal" else of_activation
    for shape, dtype in product(SHAPES, DTYPES):
        want = list(results(name, shape, dtype))
        with guarded(first) as allocator:
            found = list(results(name, shape, dtype))
            assert allocator.pages, "NumPy took its memory elsewhere"
        for got, wanted in zip(found, want, strict=True):
            assert np.array_equal(got, wanted), (name, shape, dtype)


if __name__ == "__main__":
    main(*sys.argv[1:])
