"""PyTorch tensors: values by the accuracy contract, and derivatives of every kind by value."""

import os
import shutil

import numpy as np
import pytest

import fastmoments as fm
from tests.rows import function, names, numbers, one_name

torch = pytest.importorskip("torch")
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
NEURON = ("mean", "var", "gain", "marginals")
COMPILERS = (os.environ.get("CXX", "g++"), "clang++", "cl")


def gaussian(n, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)
    root = torch.randn(n, n + 2, generator=draw, dtype=dtype) / (n + 2) ** 0.5
    return torch.randn(n, generator=draw, dtype=dtype), root @ root.mT


def arguments(kind):
    """Inputs of a function of one neuron, of a pair or of a matrix, with two elements or neurons each."""
    (mu, cov), (mu_2, _) = gaussian(2), gaussian(2, seed=1)
    if kind == "moments":
        return mu, cov
    var = torch.tensor([0.7, 1.9], dtype=torch.float64)
    if kind in NEURON:
        return mu, var
    return mu, mu_2, var, 0.6 * var, torch.tensor([0.3, -0.8], dtype=torch.float64)


def leaves(*tensors):
    return tuple(tensor.clone().requires_grad_() for tensor in tensors)


def assert_same(got, expected):
    """Assert equality up to 64 eps of the largest number, for operations in another order."""
    assert got.shape == expected.shape and got.dtype == expected.dtype
    error = (got - expected).abs().max().item()
    assert error <= 64 * torch.finfo(expected.dtype).eps * (1.0 + expected.abs().max().item()), (got, expected)


def closed_gradients(name, kind, inputs):
    """The gradients of the sum of a function, by the cpu kernels' closed forms on NumPy, judged elsewhere."""
    arrays = [x.detach().numpy() for x in inputs]
    if kind == "cov":
        found = function(name, "cov_partials")(*arrays)
    elif kind == "moments":
        found = function(name, "moments_vjp")(*arrays, np.ones_like(arrays[0]), np.ones_like(arrays[1]))
    else:
        from fastmoments_kernels import cpu

        own = numbers(name)
        call = lambda of: cpu.elementwise(name, of, 2 + len(own))(*arrays, *own)  # noqa: E731
        found = (call("gain"), call("mean_dvar")) if kind == "mean" else call("var_partials")
    return [torch.from_numpy(x) for x in found]


def total(name, kind):
    """The sum of a function's outputs, one number to differentiate."""

    def summed(*inputs):
        found = function(name, kind)(*inputs)
        return sum(x.sum() for x in found) if isinstance(found, tuple) else found.sum()

    return summed


@pytest.mark.feature("PyTorch", "values, float32 and float64")
@pytest.mark.parametrize("kind", [*NEURON, "cov", "cov_partials"])
@names
@dtypes
def test_elements_are_those_of_numpy(name, dtype, kind):
    tensors = [x.to(getattr(torch, dtype)) for x in arguments(kind)]
    found, expected = (function(name, kind)(*x) for x in (tensors, [x.numpy() for x in tensors]))
    for got, want in zip(as_tuple(found), as_tuple(expected), strict=True):
        assert np.array_equal(got.numpy(), want) and got.numpy().dtype == dtype


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.feature("PyTorch", "values, float32 and float64")
@pytest.mark.feature("PyTorch", "memory layouts")
@names
@dtypes
def test_matrices_are_those_of_numpy_on_the_same_memory(name, dtype):
    mu, cov = gaussian(70, getattr(torch, dtype))
    kept = mu.clone(), cov.clone()
    for tensors in ((mu, cov), (mu.repeat_interleave(2)[::2], cov.mT.contiguous().mT), (mu, cov.expand(3, 70, 70))):
        found = function(name, "moments")(*tensors)
        expected = function(name, "moments")(*(x.numpy() for x in tensors))
        assert np.array_equal(found.mean.numpy(), expected.mean) and np.array_equal(found.cov.numpy(), expected.cov)
        back = function(name, "moments_vjp")(*tensors, tensors[0].expand(found.mean.shape), found.cov)
        expected = function(name, "moments_vjp")(
            *(x.numpy() for x in tensors), np.broadcast_to(mu.numpy(), found.mean.shape), found.cov.numpy()
        )
        assert np.array_equal(back.mu_bar.numpy(), expected.mu_bar)
        assert np.array_equal(back.cov_bar.numpy(), expected.cov_bar)
    assert torch.equal(mu, kept[0]) and torch.equal(cov, kept[1])


@names
def test_torch_operations_give_the_matrix_of_the_kernels(name):
    """Torch operations, which other devices run, give the kernels' matrices, which other tests judge."""
    from fastmoments_kernels.eager import on_torch

    mu, cov = gaussian(5)
    own = [torch.full_like(mu, number) for number in numbers(name)]
    found = on_torch.functions(name, torch.float64).moments(mu, cov, 1e-13, *own)
    for got, expected in zip(found, function(name, "moments")(mu, cov), strict=True):
        assert_same(got, expected)


@pytest.mark.feature("PyTorch", "first derivatives")
@pytest.mark.feature("PyTorch", "forward mode")
@names
@pytest.mark.parametrize("kind", ["mean", "var", "cov", "moments"])
def test_gradients_are_the_closed_forms(name, kind):
    """Gradients in reverse and forward mode, by torch.func and torch.autograd, are the closed forms."""
    inputs, summed = arguments(kind), total(name, kind)
    expected = closed_gradients(name, kind, inputs)
    leaf = leaves(*inputs)
    summed(*leaf).backward()
    functional = torch.func.grad(summed, tuple(range(len(inputs))))(*inputs)
    for x, y, slope in zip(leaf, functional, expected, strict=True):
        assert_same(x.grad, slope)
        assert_same(y, slope)
    tangents = tuple(torch.cos(3 * x) if x.ndim < 2 else torch.cos(x + x.mT) for x in inputs)
    direction = sum((t * slope).sum() for t, slope in zip(tangents, expected, strict=True))
    assert_same(torch.func.jvp(summed, inputs, tangents)[1], direction)
    with torch.autograd.forward_ad.dual_level():
        dual = map(torch.autograd.forward_ad.make_dual, inputs, tangents)
        assert_same(torch.autograd.forward_ad.unpack_dual(summed(*dual)).tangent, direction)


@pytest.mark.feature("PyTorch", "compiled")
@one_name
@pytest.mark.parametrize("kind", ["mean", "var", "cov", "moments"])
def test_compiled_gradients_are_the_closed_forms(name, kind):
    """Operators take the activation's name and parameters: one compiled code serves all activations."""
    inputs, summed = arguments(kind), total(name, kind)
    leaf = leaves(*inputs)
    torch.compiler.reset()  # one code object, many activations: more than dynamo compiles of one
    torch.compile(summed, backend="aot_eager", fullgraph=True)(*leaf).backward()
    for x, slope in zip(leaf, closed_gradients(name, kind, inputs), strict=True):
        assert_same(x.grad, slope)


@pytest.mark.feature("PyTorch", "first derivatives")
@pytest.mark.feature("PyTorch", "second derivatives")
@names
@pytest.mark.parametrize("kind", [*NEURON, "cov", "moments"])
def test_gradcheck(name, kind):
    leaf = leaves(*arguments(kind))
    assert torch.autograd.gradcheck(function(name, kind), leaf, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(function(name, kind), leaf, fast_mode=True)


@pytest.mark.feature("PyTorch", "second derivatives")
@names
@pytest.mark.parametrize("kind", ["mean", "gain", "cov", "moments"])
def test_second_derivatives_of_torch_func(name, kind):
    """Forward over reverse, reverse over reverse and a difference of gradients agree."""
    inputs = arguments(kind)[:2]
    others = arguments(kind)[2:]
    summed = lambda a: total(name, kind)(a, *inputs[1:], *others)  # noqa: E731
    hessian = torch.func.hessian(summed)(inputs[0])
    assert_same(torch.func.jacrev(torch.func.jacrev(summed))(inputs[0]), hessian)
    step = 1e-5
    columns = [
        (torch.func.grad(summed)(inputs[0] + step * e) - torch.func.grad(summed)(inputs[0] - step * e)) / (2 * step)
        for e in torch.eye(2, dtype=torch.float64)
    ]
    # a central difference: step^2 of the third derivative, eps / step of rounding
    assert torch.allclose(torch.stack(columns, 1), hessian, rtol=1e-8, atol=1e-9)


@pytest.mark.feature("PyTorch", "vmap")
@names
def test_vmap_is_a_loop(name):
    (mu, cov), (mu_2, cov_2) = gaussian(3), gaussian(3, seed=1)
    stacked = torch.stack([mu, mu_2]), torch.stack([cov, cov_2])
    found = torch.func.vmap(function(name, "moments"))(*stacked)
    shared = torch.func.vmap(function(name, "moments"), (1, None))(stacked[0].mT, cov)
    for i in range(2):
        assert torch.equal(found.cov[i], function(name, "moments")(stacked[0][i], stacked[1][i]).cov)
        assert torch.equal(shared.mean[i], function(name, "moments")(stacked[0][i], cov).mean)
    mean = torch.func.vmap(function(name, "mean"), (0, None))(stacked[0], torch.ones(3, dtype=torch.float64))
    assert torch.equal(mean, function(name, "mean")(stacked[0], 1.0))
    jacobian = torch.func.jacrev(lambda m: function(name, "moments")(m, cov).mean)(mu)
    assert_same(jacobian, torch.diag(function(name, "gain")(mu, cov.diagonal())))


@pytest.mark.feature("PyTorch", "derivatives of one argument only")
@names
def test_gradients_by_one_argument_only(name):
    (mu,), (cov,) = (leaves(x) for x in gaussian(4))
    for wanted, inputs in ((mu, (mu, cov.detach())), (cov, (mu.detach(), cov))):
        function(name, "moments")(*inputs).cov.sum().backward()
        expected = function(name, "moments_vjp")(
            mu.detach(), cov.detach(), torch.zeros(4, dtype=cov.dtype), torch.ones_like(cov.detach())
        )
        assert_same(wanted.grad, expected[0] if wanted is mu else expected[1])


@pytest.mark.feature("PyTorch", "float16 and bfloat16")
@names
def test_half_precision_computes_in_float32(name):
    mu, cov = gaussian(4, torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        low = mu.to(dtype), cov.to(dtype)
        found = function(name, "moments")(*low)
        assert torch.equal(found.cov, function(name, "moments")(*(x.float() for x in low)).cov.to(dtype))
        (leaf,) = leaves(low[0])
        function(name, "moments")(leaf, low[1]).mean.sum().backward()
        assert leaf.grad.dtype == dtype and leaf.grad.isfinite().all()


@names
def test_zero_variance_and_a_kink_have_finite_gradients(name):
    """A weight of 0 gives an infinite slope, on a kink without variance, the gradient 0."""
    mu, var = leaves(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([0.0, 0.0, 0.0]))
    found = function(name, "mean")(mu, var)
    (found * torch.tensor([1.0, 0.0, 1.0])).sum().backward()
    assert mu.grad.isfinite().all() and var.grad.isfinite().all()


def test_derivatives_by_torch_func_inside_compile_are_refused():
    """Such derivatives would pass through an operator that has none, and could be 0 silently."""
    compiled = torch.compile(torch.func.grad(lambda mu: fm.relu_mean(mu, mu)), backend="aot_eager", fullgraph=True)
    with pytest.raises(Exception, match="torch.func inside torch.compile"):
        compiled(torch.tensor(0.5))


def test_second_derivatives_of_what_is_compiled_are_refused():
    """Torch itself refuses second derivatives of compiled functions; they are never wrong numbers."""
    mu, var = leaves(*arguments("mean"))
    compiled = torch.compile(lambda m, v: fm.relu_mean(m, v), backend="aot_eager", fullgraph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        (slope,) = torch.autograd.grad(compiled(mu, var).sum(), mu, create_graph=True)
        torch.autograd.grad(slope.sum(), mu)


@pytest.mark.feature("PyTorch", "compiled")
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="inductor needs a C++ compiler")
def test_inductor():
    mu, var = leaves(*arguments("mean"))
    expected = fm.relu_mean(mu.detach(), var.detach())
    found = torch.compile(lambda m, v: 2.0 * fm.relu_mean(m, v), fullgraph=True)(mu, var)
    assert_same(found.detach(), 2.0 * expected)
    found.sum().backward()
    assert_same(mu.grad, 2.0 * fm.relu_gain(mu.detach(), var.detach()))
