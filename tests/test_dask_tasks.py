"""Dask: the memory of its tasks, and when and where they run; `test_dask` judges their results."""

import shutil
import sys

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.moments import moments_vjp
from tests.processes import python
from tests.test_inputs import gaussian

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.usefixtures("synchronous")


def _fail(block):
    raise AssertionError("computed while the graph was built")


@pytest.mark.feature("Dask", "lazy, never gathered")
def test_nothing_is_computed_beforehand():
    mu, cov = (
        da.zeros(shape, chunks=2).map_blocks(_fail, dtype=float, meta=np.empty((0,) * len(shape)))
        for shape in ((6,), (6, 6))
    )
    results = fm.relu_moments(mu, cov), fm.relu_moments_vjp(mu, cov, mu, cov), fm.relu_marginals(mu, mu)
    for result in results:
        for array in result:
            with pytest.raises(AssertionError, match="while the graph was built"):
                array.compute()


class Sizes(dask.callbacks.Callback):
    """The elements of the largest array that a task returned, and the number of tasks."""

    def __init__(self):
        self.most, self.tasks = 0, 0

    def _posttask(self, key, result, dsk, state, worker):
        arrays = result if isinstance(result, tuple | list) else [result]
        self.most = max([self.most, *(x.size for x in arrays if isinstance(x, np.ndarray))])
        self.tasks += 1


@pytest.mark.feature("Dask", "lazy, never gathered")
@pytest.mark.parametrize("chunks, most", [((10, 10), 100), ((5, 60), 17 * 17), ((60, 5), 17 * 17)])
def test_no_task_holds_more_than_a_block(chunks, most):
    rng = da.random.default_rng(0)
    # tasks make the blocks, so that none is part of a larger array
    mu, cov = rng.normal(size=60, chunks=10), rng.normal(size=(60, 60), chunks=chunks) / 60 + da.eye(60, chunks=10)
    size = max(most, chunks[0] * chunks[1])
    for lazy in (*fm.relu_moments(mu, cov), *fm.relu_moments_vjp(mu, cov, mu, cov)):
        with Sizes() as sizes:
            # the results are not put together either
            dask.compute(*(lazy.blocks[i].sum() for i in np.ndindex(*lazy.numblocks)))
        assert 2 < sizes.most <= size and sizes.tasks > 6


def test_only_what_is_needed_is_computed():
    cov = da.eye(80, chunks=10)
    above = fm.relu_moments(np.zeros(80), cov).cov
    with Sizes() as sizes:
        above[:10, 20:30].compute()
    few = sizes.tasks
    with Sizes() as sizes:
        above.compute()
    assert few < sizes.tasks / 4


def test_names_depend_on_the_arguments_alone():
    mu, cov = da.zeros(4, chunks=2), da.eye(4, chunks=2)

    def all_names(activation, mu=mu):
        results = fm.moments(activation, mu, cov), moments_vjp(activation, mu, cov, mu, cov)
        return [array.name for result in results for array in result]

    assert all_names("relu") == all_names(fm.ReLU())
    for other in (all_names("gelu"), all_names("relu", mu + 1), all_names(fm.LeakyReLU(0.5))):
        assert not set(other) & set(all_names("relu"))
    assert fm.relu_moments(mu, cov, precision="float32").cov.name != fm.relu_moments(mu, cov).cov.name


def _distributed(n):
    mu, cov = gaussian(n)
    found = fm.relu_moments(mu, da.from_array(cov, chunks=n // 3))
    return dask.compute(found.cov, *fm.relu_moments_vjp(mu, da.from_array(cov, chunks=n // 3), mu, cov))


@pytest.mark.feature("Dask", "threads, fork, spawn")
def test_schedulers_give_the_same_bits():
    with dask.config.set(scheduler="threads", num_workers=4):
        threads = _distributed(100)
    for x, y in zip(threads, _distributed(100), strict=True):
        assert np.array_equal(x, y)


@pytest.mark.feature("Dask", "threads, fork, spawn")
def test_worker_processes():
    distributed = pytest.importorskip("distributed")
    want = _distributed(100)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # a worker does not end because of the machine's memory or load
    patient = {"distributed.comm.timeouts.connect": "10m", "distributed.comm.timeouts.tcp": "10m"}
    with dask.config.set(patient), distributed.LocalCluster(**options, memory_limit=None) as cluster:
        with distributed.Client(cluster), dask.config.set(scheduler="dask.distributed"):
            found = _distributed(100)
    for x, y in zip(found, want, strict=True):
        assert np.array_equal(x, y)


LARGE = """
import resource, sys
import dask, dask.array as da, numpy as np
import fastmoments as fm

folder, n, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
mu, g, sd = rng.normal(size=n), rng.uniform(-0.7, 0.7, n), rng.uniform(0.5, 2.0, n)
fm.relu_moments(mu[:2], np.eye(2)), fm.relu_cov(0.0, 0.0, 1.0, 1.0, 0.5)  # compiled before memory is limited


def on_disk(name, mode):
    return np.memmap(f"{folder}/{name}", np.float64, mode, shape=(n, n))


class Stored:
    # a file that is read like those of zarr and h5py: Dask would copy a memmap beforehand

    dtype, shape, ndim = np.dtype(np.float64), (n, n), 2

    def __getitem__(self, index):
        return on_disk("cov", "r")[index]


cov = on_disk("cov", "w+")
for start in range(0, n, 500):
    rows = slice(start, min(start + 500, n))
    cov[rows] = np.outer(sd[rows] * g[rows], sd * g)
    np.einsum("ii->i", cov[rows, rows])[...] = sd[rows] ** 2
del cov
# the limit counts allocated memory, not mapped files
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
cov, out = on_disk("cov", "r"), on_disk("out", "w+")
found = fm.relu_moments(mu, da.from_array(Stored(), chunks=1000))
with dask.config.set(scheduler="threads", num_workers=2):
    da.store(found.cov, out, lock=False)
i, j = rng.integers(0, n, (2, 20000))
i, j = i[i != j], j[i != j]
want = fm.relu_cov(mu[i], mu[j], sd[i] ** 2, sd[j] ** 2, cov[i, j])
scale = np.sqrt(fm.relu_var(mu[i], sd[i] ** 2) * fm.relu_var(mu[j], sd[j] ** 2))
# within 8 eps of sqrt(K_ii K_jj) + cond |K_ij|, and the pair function's 8 eps (1 + cond) |K_ij|; cond < 8
print(np.max(np.abs(out[i, j] - want) / (8 * np.finfo(float).eps * (scale + 17 * np.abs(want)))))
print(np.array_equal(out[i, j], out[j, i]))
"""


@pytest.mark.slow  # 6.4 GB on disk
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA limits allocations on Linux only")
def test_more_than_memory_holds(tmp_path):
    """A covariance of 3.2 GB goes from a file to a file while a process may allocate a third of that."""
    if shutil.disk_usage(tmp_path).free < 7e9:
        pytest.skip("needs 7 GB on disk")
    # every thread has a stack, and BLAS a buffer for each
    one = dict.fromkeys(("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    error, symmetric = python("-c", LARGE, tmp_path, 20000, 2**30, **one).split()
    assert float(error) <= 1.0 and symmetric == "True"
