"""Activations that are sums of others: what they refuse, as values, and in other libraries and networks."""

import numpy as np
import pytest

import fastmoments as fm

REFUSED = [
    (lambda: fm.Piecewise((), (1.0,)), ValueError, "knots: expected at least one"),
    (lambda: fm.Piecewise((1.0, 0.0), (1.0, 2.0, 3.0)), ValueError, "increasing"),
    (lambda: fm.Piecewise((0.0,), (1.0,)), ValueError, "slopes: expected 2 numbers"),
    (lambda: fm.Piecewise((0.0,), (1.0, np.inf)), ValueError, "slopes: expected a finite"),
    (lambda: fm.HardTanh(1.0, 1.0), ValueError, "low < high"),
    (lambda: fm.HardTanh(None, None), ValueError, "at least one"),
    (lambda: fm.CELU(0.0), ValueError, "alpha: expected a number > 0"),
    (lambda: fm.ELU(np.ones(3)), TypeError, "alpha: expected a number, the same"),
    (lambda: fm.mean(fm.ReLU6(), 0.0, -1.0), ValueError, "var: it must hold variances"),
    (lambda: fm.mean(fm.ReLU6(), [0.0], [1.0], out=np.zeros(1)), TypeError, "out: functions of relu6 are no"),
    (lambda: fm.moments(fm.ReLU6(), [0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], check=True), ValueError, "worst at"),
    (lambda: fm.moments_vjp(fm.ELU(), [0.0], [[1.0]], [0.0], [[0.0]], return_parameters=True), TypeError, "elu"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_objects_are_values():
    assert fm.HardTanh(0, 6) == fm.HardTanh(0.0, 6.0) != fm.ReLU6()
    assert len({fm.ELU(), fm.ELU(1.0), fm.SELU(), fm.Piecewise([0], [0, 1]), fm.Piecewise((0,), (0, 1))}) == 3
    assert len({fm.HardTanh(None, 1), fm.HardTanh(None, 1.0), fm.HardTanh(1.0, None)}) == 2
    out = np.empty((2, 2))
    assert fm.moments(fm.ReLU6(), [0.0, 1.0], np.eye(2), out=out).cov is out
    assert out[0, 0] == fm.var(fm.ReLU6(), 0.0, 1.0)


def test_other_libraries(double_precision):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    root, mu = rng.normal(size=(2, 4)), rng.normal(size=2)
    cov = root @ root.T / 4.0
    for activation in (fm.HardTanh(), fm.ELU(), fm.Exp()):
        wanted = fm.moments(activation, mu, cov)
        tensors = [torch.tensor(x) for x in (mu, cov)]
        got = fm.moments(activation, *tensors)
        np.testing.assert_array_equal(got.cov.numpy(), wanted.cov)
        for x in tensors:
            x.requires_grad_()
        mean, full = fm.moments(activation, *tensors)
        np.testing.assert_allclose(full.detach().numpy(), wanted.cov, rtol=1e-13)
        bars = torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.5], [0.5, -1.0]])
        ((mean * bars[0]).sum() + (full * bars[1]).sum()).backward()
        exact = fm.moments_vjp(activation, mu, cov, *(x.numpy() for x in bars))
        for x, bar in zip(tensors, exact, strict=True):
            np.testing.assert_allclose(x.grad.numpy(), bar, rtol=1e-11, atol=1e-13)
    half = fm.moments(fm.HardTanh(), *(x.detach().half() for x in tensors))
    assert half.cov.dtype == torch.float16


def test_second_derivatives_on_torch(double_precision):
    torch = pytest.importorskip("torch")
    mu, cov = torch.tensor([0.3, -0.4]), torch.tensor([[1.0, 0.4], [0.4, 0.8]])
    given = mu.requires_grad_(), cov.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *x: tuple(fm.moments(fm.HardTanh(), *x)), given, atol=1e-5)


def test_blocks_of_dask(synchronous):
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(3)
    root, mu = rng.normal(size=(5, 7)), rng.normal(size=5)
    cov, bar = root @ root.T / 7.0, np.ones((5, 5))
    lazy = da.from_array(mu, chunks=2), da.from_array(cov, chunks=2)
    for activation in (fm.ReLU6(), fm.HardShrink()):
        mean, full = fm.moments(activation, *lazy)
        wanted = fm.moments(activation, mu, cov)
        np.testing.assert_allclose(mean.compute(), wanted.mean, rtol=1e-14)
        np.testing.assert_allclose(full.compute(), wanted.cov, rtol=1e-13, atol=1e-15)
        found = fm.moments_vjp(activation, *lazy, da.from_array(mu), da.from_array(bar))
        exact = fm.moments_vjp(activation, mu, cov, mu, bar)
        for x, y in zip(found, exact, strict=True):
            np.testing.assert_allclose(x.compute(), y, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(fm.gain(activation, lazy[0], 1.0).compute(), fm.gain(activation, mu, 1.0))


def test_networks_have_them(double_precision):
    """Operations of PyTorch, and functions put together of several, which are known by their values."""
    torch = pytest.importorskip("torch")
    functions = torch.nn.functional
    wanted = {
        functions.relu6: fm.HardTanh(0.0, 6.0),
        functions.selu: fm.SELU(),
        functions.hardshrink: fm.HardShrink(),
        torch.exp: fm.Exp(),
        (lambda x: functions.celu(x, 0.5)): fm.CELU(0.5),
        (lambda x: torch.minimum(torch.relu(x), torch.tensor(2.0))): fm.HardTanh(0.0, 2.0),
        (lambda x: torch.where(x > 0.25, x, -torch.ones_like(x))): fm.Threshold(0.25, -1.0),
    }
    mu, cov = torch.tensor([0.25, -0.5]), torch.tensor([[1.0, 0.5], [0.5, 2.0]])
    for function, activation in wanted.items():
        assert "exact to" not in str(fm.describe(function, mu, cov))
        found, exact = fm.propagate(function, mu, cov), fm.moments(activation, mu, cov)
        np.testing.assert_allclose(found.mean, exact.mean, rtol=1e-14)
        np.testing.assert_allclose(found.cov, exact.cov, rtol=1e-13)
    bound = torch.tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match="gradients"):
        fm.propagate(lambda x: torch.relu(x).clamp(max=bound), mu, cov)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [fm.HardTanh(), fm.Exp()])
def test_jax_under_jit_grad_and_vmap(jax_double_precision, activation):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    mu, cov = np.array([0.3, -0.4]), np.array([[1.0, 0.4], [0.4, 0.8]])

    def weighed(mu, cov):
        mean, full = fm.moments(activation, mu, cov)
        return mean @ jnp.array([1.0, -2.0]) + (full * jnp.array([[1.0, 0.5], [0.5, -1.0]])).sum()

    found = jax.jit(jax.vmap(jax.grad(weighed, (0, 1))))(jnp.array([mu, mu]), jnp.array([cov, cov]))
    exact = fm.moments_vjp(activation, mu, cov, np.array([1.0, -2.0]), np.array([[1.0, 0.5], [0.5, -1.0]]))
    np.testing.assert_allclose(found[0][1], exact.mu_bar, rtol=1e-12)
    gradient = np.asarray(found[1][0])
    np.testing.assert_allclose(0.5 * (gradient + gradient.T), exact.cov_bar, rtol=1e-12)
