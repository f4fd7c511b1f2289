"""How kernels are launched, by a driver that launches nothing; test_gpu.py runs this file in another process.

What a kernel would compute with the launched code is judged by the interpreted tests.
"""

import sys
from functools import partial

import pytest
import torch

import fastmoments as fm
from fastmoments_kernels import gpu
from fastmoments_kernels.gpu import matrices_vjp
from fastmoments_kernels.gpu.launch import elementwise_variant
from fastmoments_kernels.gpu.layers import skip_variant
from tests.card import as_on_a_card
from tests.silent_driver import use_silent_driver


@pytest.fixture(scope="module")
def driver():
    return use_silent_driver()


@pytest.fixture(autouse=True)
def fresh(driver):
    driver.launches.clear()
    driver.device = driver.stream = 0


def of_skip(n, shift=0):
    """Arguments of the kernel `skip`, whose memory begins `shift` numbers after a multiple of 16 bytes."""

    def numbers(*shape):
        size = torch.Size(shape).numel()
        return torch.zeros(size + 4)[shift : shift + size].view(shape)

    cov, gains = numbers(1, n, n), numbers(1, n)
    return cov, gains, cov, cov, n, -(-n // 32)


# every way in which Triton tells arguments apart: sides that are 1, multiples of 16 or neither; addresses; int64
ARGUMENTS = [of_skip(1), of_skip(5), of_skip(16), of_skip(16, 1), of_skip(7, 2), of_skip(32), of_skip(40)]
ARGUMENTS += [(*of_skip(5)[:4], 2**31, 1), (*of_skip(5)[:4], 5, 2**31)]


def test_launches_what_triton_would(driver):
    """The binary of every call is that which Triton chooses, also when it comes from our own cache."""
    variant = skip_variant("float32")
    for arguments in (*ARGUMENTS, *reversed(ARGUMENTS)):
        variant(3, *arguments)
        variant(3, *arguments)
        variant.kernel[(3,)](*arguments, **variant.constants, **variant.options)
        first, again, wanted = list(driver.launches)[-3:]
        assert first == again == wanted
    # n is 1, a multiple of 16 or neither, and aligned or not; and two arguments in turn are int64
    names = [name for name, _ in driver.loaded if name == driver.launches[-1].name]
    assert len(names) == 7


def test_addresses_that_are_no_multiples_of_16_bytes(driver):
    x = torch.ones(33)
    mean = gpu.elementwise("relu", "mean")
    binaries = []
    # of one length, which is no other reason to compile
    for given in (x[:29], x[1:30], x[:29], x[4:], x[1:30]):
        mean(given, given)
        assert driver.launches[-1].arguments[0].data_ptr() == given.data_ptr()
        binaries.append(driver.launches[-1].binary)
    aligned, shifted, *others = binaries
    assert shifted != aligned and others == [aligned, aligned, shifted]


@pytest.fixture
def memory(monkeypatch):
    """New memory of one size and dtype is the same in all calls."""
    kept, new_empty = {}, torch.Tensor.new_empty

    def given(tensor, shape, dtype=None):
        key = shape, dtype or tensor.dtype
        return kept.setdefault(key, new_empty(tensor, shape, dtype=key[1]))

    monkeypatch.setattr(torch.Tensor, "new_empty", given)


def launched(driver, call):
    """The launches of a call, with addresses for tensors."""
    driver.launches.clear()
    call()
    of = [[x.data_ptr() if isinstance(x, torch.Tensor) else x for x in each.arguments] for each in driver.launches]
    return [each._replace(arguments=found) for each, found in zip(driver.launches, of, strict=True)]


def matrices(n, shift):
    """mu, cov and memory for the results, whose memory begins `shift` numbers after a multiple of 16 bytes."""
    shapes = (2, n), (2, n, n), (2, n), (2, n, n)
    return [torch.zeros(2 * n * n + 4)[shift:][: torch.Size(shape).numel()].view(shape) for shape in shapes]


def test_schedules_launch_the_same_again(driver, memory):
    """The first call of a size and alignment is Triton's, on tensors; others launch its binaries on addresses."""
    mu, *others = aligned = matrices(5, 0)
    given = aligned, matrices(5, 1), [mu.double(), *others]
    calls = [launched(driver, partial(gpu.moments, "relu", *given[k])) for k in (0, 1, 2, 0, 1, 2, 2, 1, 0)]
    assert [len(launches) for launches in calls] == [3] * 9
    assert calls[:3] == calls[3:6] == calls[:-4:-1]
    aligned, shifted, mixed = ([launch.binary for launch in launches] for launches in calls[:3])
    assert not set(aligned) & set(shifted) and mixed[0] not in (aligned[0], shifted[0]) and mixed[1:] == aligned[1:]


def test_tensors_on_other_devices_are_not_launched_as_addresses(driver, monkeypatch):
    """Triton refuses a tensor in main memory, and reads from any address."""
    given = matrices(5, 0)
    for _ in range(2):
        gpu.moments("relu", *given)
    assert not any(isinstance(x, torch.Tensor) for x in driver.launches[-1].arguments)
    monkeypatch.setattr(torch.Tensor, "get_device", lambda tensor: 0 if tensor is given[1] else -1)
    gpu.moments("relu", *given)
    assert any(x is given[1] for x in driver.launches[-1].arguments)


@pytest.mark.slow  # compiles the backward pass
def test_schedules_of_the_backward_pass(driver, memory):
    # one tile whose list holds all pairs; several tiles, of which some may be overfull
    for n, kernels in ((5, 8), (130, 11)):
        given = matrices(n, 0)
        first, again = (launched(driver, partial(gpu.moments_vjp, "relu", *given)) for _ in range(2))
        assert len(first) == kernels and first == again


def test_a_call_takes_few_calls_of_python(driver, monkeypatch):
    """What benchmarks/launch.py measures in time, 40 us at most, counted: calls of functions of Python and of C."""
    as_on_a_card(monkeypatch)
    monkeypatch.setattr("fastmoments.frameworks.torch.can_read", lambda tensor: False)
    mu, cov, counted = torch.zeros(8), torch.eye(8), []
    fm.relu_moments(mu, cov)
    sys.setprofile(lambda frame, event, argument: counted.append(event))
    fm.relu_moments(mu, cov)
    sys.setprofile(None)
    assert len(driver.launches) == 6 and counted.count("call") + counted.count("c_call") <= 200


def test_shared_memory_is_apart():
    """Arrays of a schedule neither overlap nor begin elsewhere than at multiples of 16 bytes."""
    schedule, end_before = matrices_vjp._schedule("npn", "float32", 3, 70, 4), 0
    for dtype, start, end in schedule.shared:
        assert end_before <= start < end <= schedule.size
        assert start % 16 == 0 and (end - start) % dtype.itemsize == 0
        end_before = end


def test_counts_and_strides_compile_nothing_anew(driver):
    mean, before = gpu.elementwise("heaviside", "mean"), len(driver.loaded)
    for n in (1, 2, 15, 16, 17, 128, 129, 1000):
        mean(torch.zeros(n), torch.ones(n))
        mean(torch.zeros(n), torch.ones(()))
        mean(torch.zeros(n + 1, 3), torch.ones(n + 1, 1))
        mean(torch.zeros(n + 1, 1), torch.ones(32))
    # by one dimension and by two
    assert len(driver.loaded) - before == 2


def test_triton_is_asked_once(driver, monkeypatch):
    """It compares every constant that the kernel reads: ten times as long as the launch."""
    variant, x = elementwise_variant("relu", "mean", "float64"), torch.ones(5, dtype=torch.float64)
    gpu.elementwise("relu", "mean")(x, x)
    monkeypatch.setattr(type(variant.kernel), "run", None)
    for _ in range(2):
        gpu.elementwise("relu", "mean")(x, x)
    assert len(driver.launches) == 3


def test_the_stream_is_the_current_one(driver):
    x = torch.ones(5)
    for stream in (0, 7, 8, 0):
        driver.stream = stream
        gpu.elementwise("relu", "mean")(x, x)
        assert driver.launches[-1].stream == stream


@pytest.mark.parametrize(
    "call",
    (partial(gpu.elementwise("relu", "gain"), *matrices(5, 0)[::2]), partial(gpu.moments, "relu", *matrices(7, 0))),
)
def test_every_device_loads_its_own(call, driver, monkeypatch):
    """A binary is loaded into the memory of a device. Here CPU tensors say that they are on two."""
    devices = []
    for device in (0, 1, 0, 1):
        driver.device = device
        monkeypatch.setattr(torch.Tensor, "get_device", lambda tensor, device=device: device)
        call()
        devices.append(driver.loaded[driver.launches[-1].binary][1])
    assert devices == [0, 1, 0, 1]


@pytest.mark.slow  # compiles the kernels of matrices for three sizes
def test_matrices_of_three_kinds_of_size(driver, monkeypatch):
    """n is 1, a multiple of 16 or neither; nothing else compiles kernels anew."""
    as_on_a_card(monkeypatch)
    monkeypatch.setattr("fastmoments.frameworks.torch.can_read", lambda tensor: False)
    names, before = {}, len(driver.loaded)
    for n in (1, 2, 3, 16, 32, 63, 64, 65, 127, 128, 160, 200, 1):
        for batch in ((), (1,), (3,), (16,)):
            fm.relu_moments(torch.zeros(*batch, n), torch.eye(n).expand(*batch, n, n))
    for name, _ in driver.loaded[before:]:
        names[name] = names.get(name, 0) + 1
    assert max(names.values()) <= 3, names
