"""The plan of a call: arrays of two libraries, extras that are not installed, cards of other makers."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastmoments as fm
import fastmoments_kernels


@pytest.mark.feature("NumPy", "fm.plan")
def test_plan_says_what_runs():
    plan = fm.plan(np.zeros(3, np.float16), [1, 2], precision="float64")
    assert (plan.framework, plan.backend, plan.result, plan.compute) == ("numpy", "cpu", "float16", "float64")
    what, kernels, arithmetic, when = str(plan).splitlines()[:4]
    assert what == "numpy arrays on cpu -> cpu kernels, computed in float64, returned in float16"
    assert kernels == "  cpu: arrays in main memory are read and written in place by compiled kernels"
    assert arithmetic == "  float64: precision= asks for it"
    assert when == "  wait: kernels are compiled at their first call (fm.set_compilation)"
    assert fm.plan(np.zeros(3, np.float16)).why[1] == "float16 is computed in float32 and rounded once"
    assert fm.plan(1, [2.0]).why[1].startswith("the dtype of the arrays")


@pytest.mark.feature("PyTorch", "fm.plan")
@pytest.mark.feature("JAX", "fm.plan")
def test_plan_of_every_framework():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    for array, backend in (
        (torch.zeros(3), "cpu"),
        (torch.zeros(3, device="meta"), "meta"),
        (jax.numpy.zeros(3), "xla"),
    ):
        plan = fm.plan(array, 1.0)
        assert (plan.backend, plan.compute) == (backend, "float32") and f"  {backend}: " in str(plan)


def test_mixed_frameworks_name_both():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    with pytest.raises(TypeError, match="mu is from torch but var is from numpy"):
        fm.relu_mean(torch.zeros(2), np.ones(2, np.float32))
    with pytest.raises(TypeError, match="mu is from jax but cov is from torch"):
        fm.relu_moments(jax.numpy.zeros(2), torch.eye(2))
    with pytest.raises(TypeError, match="mu is on cpu but var is on meta"):
        fm.relu_mean(torch.zeros(2), torch.ones(2, device="meta"))


@pytest.mark.parametrize(
    ("missing", "use", "message"),
    [
        ("torch", "fm.nn", "fm.nn needs PyTorch: pip install fastmoments[torch]"),
        (
            "triton",
            "fm.triton.relu_mean",
            "fm.triton needs Triton 3.5 or later: pip install --upgrade fastmoments[torch,triton]",
        ),
    ],
)
def test_a_missing_extra_names_the_command(missing, use, message):
    program = f"import sys; sys.modules[{missing!r}] = None; import fastmoments as fm; {use}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {message}")


@pytest.fixture
def on_a_card(monkeypatch):
    """A stand-in for a tensor on CUDA, and kernels that were not imported yet."""
    pytest.importorskip("torch")
    # if it was imported before, it is a name in its package too
    monkeypatch.delattr(fastmoments_kernels, "gpu", raising=False)
    for name in [name for name in sys.modules if name.startswith("fastmoments_kernels.gpu")]:
        monkeypatch.delitem(sys.modules, name)
    return SimpleNamespace(device=SimpleNamespace(type="cuda"))


def test_a_missing_extra_is_named(monkeypatch, on_a_card):
    from fastmoments.frameworks import torch_kernels

    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setattr(sys, "platform", "linux")
    needed = "tensors on CUDA need Triton 3.5 or later: "
    with pytest.raises(ImportError, match=needed + r"pip install --upgrade fastmoments\[torch,triton\]"):
        torch_kernels.elementwise("relu", "mean", on_a_card, on_a_card)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ImportError, match=needed + "it is published for Linux only, compute on the CPU"):
        torch_kernels.elementwise("relu", "mean", on_a_card, on_a_card)


def test_an_old_triton_is_named(monkeypatch, on_a_card):
    triton = pytest.importorskip("triton", reason="Triton has wheels for Linux only")
    from fastmoments.frameworks import torch_kernels

    monkeypatch.setattr(triton, "__version__", "3.4.0")
    with pytest.raises(ImportError, match="need Triton 3.5 or later: .*3.4.0 is installed"):
        torch_kernels.elementwise("relu", "mean", on_a_card, on_a_card)


def test_cards_of_amd_take_torch_operations(monkeypatch):
    """PyTorch calls AMD's cards cuda too, but Triton has other options for them."""
    torch = pytest.importorskip("torch")
    from torch._subclasses import FakeTensorMode

    from fastmoments.frameworks import torch_kernels

    monkeypatch.setattr("fastmoments.dispatch._decided", {})
    with FakeTensorMode():
        tensor = torch.empty(3, device="cuda")
    assert fm.plan(tensor).backend == torch_kernels.kernels_for("relu", tensor) == "gpu"
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr("fastmoments.dispatch._decided", {})
    assert fm.plan(tensor).backend == torch_kernels.kernels_for("relu", tensor) == "eager"
    assert "AMD" in str(fm.plan(tensor))
