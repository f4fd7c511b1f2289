"""Logistic activations on PyTorch and JAX: values, derivatives of two orders, batches, networks, neighbours."""

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")
F = torch.nn.functional
ACTIVATIONS = {"sigmoid": fm.Sigmoid(), "tanh": fm.Tanh(), "silu": fm.SiLU(), "softplus": fm.Softplus(3.0)}
NAMES = pytest.mark.parametrize("name", ACTIVATIONS)
# usual variances, one of 0 beside one above 10, whose integrals go another way, and rho = 1
CASES = [
    ([0.3, -1.0, 0.0], [[1.0, 0.4, 0.2], [0.4, 0.8, -0.3], [0.2, -0.3, 1.5]]),
    ([0.3, 1.0, -2.0], [[12.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 1.0]]),
]
DOUBLE = {"dtype": torch.float64}


def leaves(case):
    return [torch.tensor(x, **DOUBLE).requires_grad_() for x in case]


def symmetric(activation):
    return lambda mu, cov: tuple(fm.moments(activation, mu, 0.5 * (cov + cov.mT)))


@NAMES
def test_tensors_are_computed_as_arrays_are(name):
    for case in CASES:
        wanted = fm.moments(ACTIVATIONS[name], *map(np.array, case))
        for given in (leaves(case), [x.detach() for x in leaves(case)]):
            found = fm.moments(ACTIVATIONS[name], *given)
            assert np.abs(found.cov.detach().numpy() - wanted.cov).max() <= 1e-14 * np.abs(wanted.cov).max()
            assert np.abs(found.mean.detach().numpy() - wanted.mean).max() <= 1e-15 * np.abs(wanted.mean).max()


@NAMES
def test_gradcheck(name):
    inputs = leaves(CASES[0])
    assert torch.autograd.gradcheck(symmetric(ACTIVATIONS[name]), inputs)
    pair = [torch.tensor(x, **DOUBLE).requires_grad_() for x in (0.3, -0.2, 1.2, 0.9, 0.5)]
    assert torch.autograd.gradcheck(lambda *x: fm.cov(ACTIVATIONS[name], *x), pair, check_forward_ad=True)


@NAMES
def test_second_derivatives(name):
    inputs = leaves(CASES[0])
    assert torch.autograd.gradgradcheck(symmetric(ACTIVATIONS[name]), inputs)
    neuron = [torch.tensor(x, **DOUBLE).requires_grad_() for x in (0.0, 0.7)]
    assert torch.autograd.gradgradcheck(lambda *x: tuple(fm.marginals(ACTIVATIONS[name], *x)), neuron)


@NAMES
def test_backward_is_the_vjp(name):
    case, rng = CASES[1], np.random.default_rng(0)
    bars = rng.normal(size=3), (lambda x: x + x.T)(rng.normal(size=(3, 3)))
    wanted = fm.moments_vjp(ACTIVATIONS[name], *map(np.array, case), *bars)
    inputs = leaves(case)
    found = torch.autograd.grad(fm.moments(ACTIVATIONS[name], *inputs), inputs, [torch.tensor(x) for x in bars])
    for got, want in zip(found, wanted, strict=True):
        assert np.abs(got.numpy() - want).max() <= 1e-13 * np.abs(want).max()


def test_second_derivatives_at_zero_variance_are_those_along_what_can_move():
    """d^2 E f / dmu dvar = f''' / 2, and d (dK_12 / dcov_12) / dmu_1 = f''(mu_1) E f'(X_2)."""
    mu, var = (torch.tensor(x, **DOUBLE).requires_grad_() for x in (0.4, 0.0))
    (by_mu,) = torch.autograd.grad(fm.sigmoid_mean(mu, var), mu, create_graph=True)
    (by_var,) = torch.autograd.grad(by_mu, var)
    s = 1.0 / (1.0 + np.exp(-0.4))
    first = s * (1.0 - s)
    assert abs(by_var.item() - 0.5 * first * (1.0 - 6.0 * first)) <= 1e-15
    pair = [torch.tensor(x, **DOUBLE).requires_grad_() for x in (0.4, -0.3, 0.0, 1.0, 0.0)]
    (by_cov,) = torch.autograd.grad(fm.sigmoid_cov(*pair), pair[4], create_graph=True)
    assert abs(by_cov.item() - first * fm.sigmoid_gain(-0.3, 1.0)) <= 1e-15
    (twice,) = torch.autograd.grad(by_cov, pair[0])
    assert abs(twice.item() - first * (1.0 - 2.0 * s) * fm.sigmoid_gain(-0.3, 1.0)) <= 1e-15


def test_second_derivatives_of_long_series_are_refused():
    mu, cov = (torch.tensor(x, **DOUBLE).requires_grad_() for x in ([0.0, 0.1], [[90.0, 89.9], [89.9, 90.0]]))
    (bar,) = torch.autograd.grad(fm.tanh_moments(mu, cov).cov[0, 1], mu, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.grad(bar[0], mu)


def test_torch_func_and_meta():
    mu, cov = (x.detach() for x in leaves(CASES[0]))
    mus, covs = torch.stack([mu, mu + 0.1]), torch.stack([cov, 2.0 * cov])
    loss = lambda m, c: fm.silu_moments(m, c).cov.sum()  # noqa: E731
    by_rows = torch.func.vmap(torch.func.grad(loss))(mus, covs)
    alone = [torch.func.grad(loss)(m, c) for m, c in zip(mus, covs, strict=True)]
    assert torch.allclose(by_rows, torch.stack(alone), rtol=1e-12, atol=0.0)
    found = fm.tanh_moments(mu.to("meta"), cov.to("meta"))
    assert found.cov.shape == (3, 3) and found.cov.is_meta


def test_a_mixed_neighbour_has_gradients():
    """tanh beside relu and sigmoid, differentiated along what the pair has."""
    for other in ("relu", "sigmoid", "gaussian", fm.HardTanh()):
        pair = [torch.tensor(x, **DOUBLE).requires_grad_() for x in (0.3, -0.2, 1.2, 0.9, 0.5)]
        assert torch.autograd.gradcheck(lambda *x, g=other: fm.cross_cov("tanh", g, *x), pair)


@pytest.mark.parametrize("low", [True, False])
def test_operations_are_the_objects(low):
    mu, cov = (x.detach() for x in leaves(CASES[0]))

    class Net(torch.nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    cases = {
        fm.Tanh(): (torch.tanh, lambda x: 2.0 * torch.sigmoid(2.0 * x) - 1.0),
        fm.SiLU(): (F.silu, lambda x: x * torch.sigmoid(x)),
        fm.Softplus(2.0): (lambda x: F.softplus(x, 2.0), None),
        fm.Softplus(): (F.softplus, lambda x: torch.log1p(torch.exp(-x.abs())) + torch.relu(x)),
        fm.LogSigmoid(): (F.logsigmoid, None),
        fm.Sigmoid(): (torch.sigmoid, lambda x: 0.5 + 0.5 * torch.tanh(0.5 * x)),
    }
    for activation, functions in cases.items():
        function = functions[0 if low else 1]
        if function is not None:
            found = fm.propagate(Net(function), mu, cov)
            wanted = fm.moments(activation, mu, cov)
            assert (found.cov - wanted.cov).abs().max() <= 1e-9 and (found.mean - wanted.mean).abs().max() <= 1e-12
    assert [v.moments for v in fm.describe(Net(torch.tanh), mu, cov).values] == ["given", "exact to 1e-10"]


def test_modules_have_derivatives():
    x = torch.tensor([0.0, -1.5, 40.0], **DOUBLE).requires_grad_()
    for activation, function in (
        (fm.SiLU(), F.silu),
        ("tanh", torch.tanh),
        (fm.Softplus(2.0), lambda x: F.softplus(x, 2.0)),
    ):
        module = fm.nn.Activation(activation)
        (slope,) = torch.autograd.grad(module(x).sum(), x)
        (wanted,) = torch.autograd.grad(function(x).sum(), x)
        assert torch.allclose(slope, wanted, rtol=1e-13) and torch.allclose(module(x), function(x), rtol=1e-13)


@pytest.mark.parametrize("name", ["tanh", *(pytest.param(x, marks=pytest.mark.slow) for x in ("silu", "softplus"))])
def test_jax_jit_grad_and_vmap(name, jax_double_precision):
    jax = pytest.importorskip("jax")
    activation, case = ACTIVATIONS[name], [np.array(x) for x in CASES[1]]
    wanted = fm.moments(activation, *case)
    batch = [np.stack([x, 1.5 * x]) for x in case]
    moments = jax.jit(jax.vmap(lambda m, c: tuple(fm.moments(activation, m, c))))
    mean, cov = moments(*map(jax.numpy.asarray, batch))
    assert np.abs(mean[0] - wanted.mean).max() <= 1e-13 and np.abs(cov[0] - wanted.cov).max() <= 1e-10
    bars = np.array([0.3, -1.0, 0.5]), np.array([[1.0, 0.2, 0.4], [0.2, 0.5, 0.0], [0.4, 0.0, -1.0]])
    loss = lambda m, c: sum((x * b).sum() for x, b in zip(fm.moments(activation, m, c), bars, strict=True))  # noqa: E731
    by_mu, by_cov = jax.jit(jax.grad(loss, argnums=(0, 1)))(*map(jax.numpy.asarray, case))
    expected = fm.moments_vjp(activation, *case, *bars)
    assert np.abs(by_mu - expected.mu_bar).max() <= 1e-9
    assert np.abs(0.5 * (by_cov + by_cov.T) - expected.cov_bar).max() <= 1e-9


@pytest.mark.slow
def test_jax_second_derivatives(jax_double_precision):
    jax = pytest.importorskip("jax")
    mu, cov = map(np.array, CASES[0])
    hessian = jax.jit(jax.hessian(lambda m: fm.sigmoid_moments(m, cov).cov.sum()))(jax.numpy.asarray(mu))
    given = torch.tensor(mu, **DOUBLE)
    wanted = torch.autograd.functional.hessian(
        lambda m: fm.sigmoid_moments(m, torch.tensor(cov, **DOUBLE)).cov.sum(), given
    )
    assert np.abs(hessian - wanted.numpy()).max() <= 1e-9


def test_dask_computes_by_blocks():
    da = pytest.importorskip("dask.array")
    mu, cov = map(np.array, CASES[0])
    found = fm.tanh_moments(da.from_array(mu, 2), da.from_array(cov, 2))
    wanted = fm.tanh_moments(mu, cov)
    assert np.abs(found.cov.compute() - wanted.cov).max() <= 1e-10
    assert np.abs(found.mean.compute() - wanted.mean).max() <= 1e-15
