"""Derivatives in little memory: those of a function that is computed again are those of one that is not."""

import pytest

torch = pytest.importorskip("torch")

from fastmoments.checked import torch_memory  # noqa: E402 (it needs torch)


@pytest.mark.parametrize(("most", "calls"), [(2**20, 3), (3000, 6), (0, 7)])
def test_derivatives_do_not_depend_on_memory(most, calls, monkeypatch, double_precision):
    """Each call keeps 1600 bytes and the weight's; without any a call stops at once and is begun anew."""
    monkeypatch.setattr(torch_memory, "KEPT", most)
    weight, count = torch.linspace(-1.0, 1.0, 100, requires_grad=True), 0

    def function(x):
        nonlocal count
        count += 1
        return (torch.tanh(weight * x) ** 2).sum()

    x = [torch.linspace(k, 2.0, 100, requires_grad=True) for k in range(3)]
    call = torch_memory.forgetful(function)
    found = torch.autograd.grad(sum(call(xk) for xk in x), [weight, *x])
    assert count == calls
    want = torch.autograd.grad(sum((torch.tanh(weight * xk) ** 2).sum() for xk in x), [weight, *x])
    assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))
