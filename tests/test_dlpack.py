"""CuPy and other libraries with DLPack: arrays go in and out without copies. Tests of PyTorch judge the kernels."""

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.frameworks import framework_of
from tests.test_inputs import gaussian

torch = pytest.importorskip("torch")


class Lender:
    """An array of a library that has DLPack but, like CuPy, none of NumPy's protocols."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device
        self.dtype, self.shape, self.ndim = array.dtype, array.shape, array.ndim

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device

    def __getitem__(self, index):
        return Lender(self.array[index])


@pytest.fixture
def cupy(monkeypatch):
    """A module in place of CuPy whose arrays are NumPy's memory, to test the way in and out on the CPU."""
    module = ModuleType("cupy")
    module.from_dlpack = lambda tensor: Lender(np.from_dlpack(tensor))
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(Lender, "__module__", "cupy")
    return module


@pytest.mark.feature("CuPy", "first derivatives", "closed forms, by a stand-in")
@pytest.mark.feature("CuPy", "values, float32 and float64", "by a stand-in")
def test_moments_and_gradients(cupy):
    arrays = *gaussian(5), *gaussian(5, seed=1)
    lent, tau = [Lender(x) for x in arrays], np.linspace(0.5, 2.0, 5)
    pairs = [
        (fm.relu_moments(*lent[:2]), fm.relu_moments(*arrays[:2])),
        (fm.relu_moments_vjp(*lent), fm.relu_moments_vjp(*arrays)),
        (fm.npn_moments(*lent[:2], tau=Lender(tau)), fm.npn_moments(*arrays[:2], tau=tau)),
    ]
    for found, want in pairs:
        assert type(found) is type(want)
        for x, y in zip(found, want, strict=True):
            assert type(x) is Lender and np.array_equal(x.array, y)


@pytest.mark.feature("CuPy", "layers", "by a stand-in")
def test_elementwise_and_layers(cupy):
    mu, cov = gaussian(5)
    weight = np.random.default_rng(2).normal(size=(3, 5))
    var = np.ascontiguousarray(np.diag(cov))
    found, want = fm.gelu_marginals(Lender(mu), Lender(var)), fm.gelu_marginals(mu, var)
    assert all(np.array_equal(x.array, y) for x, y in zip(found, want, strict=True))
    assert np.array_equal(fm.relu_mean(Lender(mu), 0.5).array, fm.relu_mean(mu, 0.5))
    found, want = (fm.dual("relu", x(var), 1.0, x(0.5 * var)) for x in (Lender, np.asarray))
    assert all(np.array_equal(x.array, y) for x, y in zip(found, want, strict=True))
    layer = fm.residual_moments("relu", *map(Lender, (mu, cov, weight)))
    want = fm.residual_moments("relu", mu, cov, weight)
    # products of 5 terms in another order
    assert np.abs(layer.cov.array - want.cov).max() <= 8 * 5 * np.finfo(float).eps * np.abs(want.cov).max()


@pytest.mark.feature("CuPy", "no copies", "by a stand-in")
def test_nothing_is_copied(cupy):
    array = np.ones(3)
    lent = framework_of(fm.plan(Lender(array)))._lent({"mu": Lender(array), "tau": 2.0})
    assert lent["mu"].data_ptr() == array.ctypes.data and lent["tau"] == 2.0
    plan = fm.plan(Lender(array))
    back = framework_of(plan).result(plan, lent["mu"])
    assert back.array.ctypes.data == array.ctypes.data


@pytest.mark.feature("CuPy", "fm.plan")
def test_plan(cupy, monkeypatch):
    on_card = Lender(np.ones(3, np.float32), device=(2, 1))
    assert str(fm.plan(on_card, 1.0)).startswith("cupy arrays on cuda:1 -> gpu kernels, computed in float32")
    assert fm.plan(Lender(np.ones(3))).device == "cpu"
    # an unknown library, on a card
    monkeypatch.setattr(Lender, "__module__", "newlib.core")
    assert str(fm.plan(on_card)).startswith("newlib arrays on cuda:1 -> gpu kernels")


@pytest.mark.feature("CuPy", "bad input: the same errors", "by a stand-in")
def test_errors(cupy, monkeypatch):
    mu, cov = map(Lender, gaussian(3))
    with pytest.raises(TypeError, match="out: cupy arrays are returned"):
        fm.relu_moments(mu, cov, out=cov)
    with pytest.raises(TypeError, match="mu is from cupy but cov is from numpy"):
        fm.relu_moments(mu, np.eye(3))
    with pytest.raises(ValueError, match="cov: its diagonal must hold variances"):
        fm.relu_moments(mu, Lender(-np.eye(3)))


def test_what_is_neither_in_main_memory_nor_on_cuda_is_refused(cupy):
    with pytest.raises(TypeError, match="arrays of cupy on a device that DLPack numbers 10: expected CUDA's"):
        fm.relu_mean(Lender(np.ones(3), device=(10, 0)), 1.0)


def test_managed_memory_is_lent(cupy, monkeypatch):
    """Managed memory is passed by CUDA's array interface, because PyTorch's from_dlpack refuses it."""
    lent, taken = Lender(np.ones(3), device=(13, 1)), []
    lent.__cuda_array_interface__ = {}
    assert fm.plan(lent).device == "cuda:1"
    dlpack = framework_of(fm.plan(lent))
    monkeypatch.setattr(torch, "as_tensor", lambda array, device: taken.append((array, device)) or "tensor")
    assert dlpack._lent({"mu": lent, "var": 1.0}) == {"mu": "tensor", "var": 1.0} and taken == [(lent, "cuda:1")]


class Stream:
    """A stream of either library that records its events."""

    def __init__(self, name, log):
        self.name, self.log, self.ptr = name, log, 8

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")


def test_work_is_in_the_order_of_cupys_own(cupy, monkeypatch):
    """Work runs on CuPy's current stream, in order with PyTorch's: memory is freed after its last use."""
    log = []

    @contextmanager
    def on(stream):
        log.append(f"on {stream.name}")
        yield

    cupy.cuda = SimpleNamespace(get_current_stream=lambda device: Stream("own", log))
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda pointer, device: Stream(f"{pointer} {device}", log))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("torch's", log))
    monkeypatch.setattr(torch.cuda, "stream", on)
    plan = fm.plan(Lender(np.ones(3), device=(2, 1)))
    dlpack = framework_of(plan)
    monkeypatch.setattr(dlpack, "_lent", lambda arguments: arguments)
    monkeypatch.setattr(dlpack, "_back", lambda plan, value: log.append("back"))
    for name in ("elementwise", "moments", "moments_vjp"):
        monkeypatch.setattr(dlpack.tensors, name, lambda *arguments: log.append("at work") or (1.0, 2.0))
    calls = (
        lambda: dlpack.elementwise(plan, "relu", "marginals", {}, {}),
        lambda: dlpack.moments(plan, "relu", {}, {}, None, False),
        lambda: dlpack.moments_vjp(plan, "relu", {}, {}, {}, False),
    )
    before, after = ["8 cuda:1 waits for torch's", "on 8 cuda:1"], ["torch's waits for 8 cuda:1"]
    for call in calls:
        log.clear()
        call()
        assert log == [*before, "at work", "back", "back", *after]
    log.clear()
    dlpack.result(plan, torch.ones(3, dtype=torch.float64))
    assert log == [*before, "back", *after]
    monkeypatch.setattr(dlpack.tensors, "arithmetic", on)
    log.clear()
    with dlpack.arithmetic(SimpleNamespace(framework="cupy", device="cuda:1", name="the layer")):
        log.append("product")
    assert log == [*before, "on the layer", "product", *after]


def test_without_torch_the_command_is_named(cupy, monkeypatch):
    for name in ("fastmoments.frameworks.dlpack", "fastmoments.frameworks.torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("fastmoments.frameworks.dlpack", raising=False)
    monkeypatch.delattr("fastmoments.frameworks.torch", raising=False)
    monkeypatch.setattr("fastmoments.frameworks._imported", {})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install fastmoments\[torch,triton\]"):
        fm.relu_mean(Lender(np.ones(3)), 1.0)


@pytest.mark.gpu
def test_cupy_on_a_card():
    real = pytest.importorskip("cupy")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for dtype in ("float32", "float64"):
        mu, cov = gaussian(70, dtype)
        found = fm.relu_moments(real.asarray(mu), real.asarray(cov))
        assert isinstance(found.cov, real.ndarray) and found.cov.dtype == dtype
        want = fm.relu_moments(mu, cov)
        # numbers of order one within 8 eps on either side
        assert np.abs(real.asnumpy(found.cov) - want.cov).max() <= 2 * 8 * np.finfo(dtype).eps
        pointer = (
            framework_of(fm.plan(real.asarray(mu)))._lent({"mu": (array := real.asarray(mu))})["mu"].data_ptr()
        )
        assert pointer == array.data.ptr
