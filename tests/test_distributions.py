"""Normal distributions of other libraries stand for mean and covariance; the results make such distributions."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse, stats

import fastmoments as fm
from tests.test_inputs import gaussian

MU, COV = gaussian(3)
SD = np.sqrt(np.diag(COV))


def same(found, want):
    """Equal bits, in the same library."""
    for x, y in zip(found, want, strict=True):
        assert type(x) is type(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


class Normal:
    """NumPyro's, as far as its documentation names it."""

    def __init__(self, loc, scale):
        self.loc, self.scale, self.batch_shape, self.event_shape = loc, scale, loc.shape, ()

    @property
    def mean(self):
        return self.loc

    @property
    def variance(self):
        return self.scale**2


class MultivariateNormal:
    """The same."""

    def __init__(self, loc, covariance_matrix):
        self.loc, self.covariance_matrix = loc, covariance_matrix
        self.batch_shape, self.event_shape = loc.shape[:-1], loc.shape[-1:]

    @property
    def mean(self):
        return self.loc

    @property
    def variance(self):
        return self.covariance_matrix.diagonal()


@pytest.fixture
def numpyro(monkeypatch):
    """The library's distributions, or a stand-in with the names of theirs."""
    for kind in (Normal, MultivariateNormal):
        monkeypatch.setattr(kind, "__module__", "numpyro.distributions.continuous")
    return SimpleNamespace(Normal=Normal, MultivariateNormal=MultivariateNormal)


def test_normals_of_scipy():
    want = fm.relu_moments(MU, COV)
    joint = stats.multivariate_normal(MU, COV)
    same(fm.moments("relu", joint), want)
    same(fm.relu_moments(joint), want)
    for one in (stats.norm(MU, SD), *([stats.Normal(mu=MU, sigma=SD)] if hasattr(stats, "Normal") else [])):
        np.testing.assert_allclose(fm.moments("relu", one).cov, fm.relu_moments(MU, np.diag(SD**2)).cov, rtol=1e-15)
    # a number is a vector of one
    assert fm.moments("relu", stats.norm(0.0, 2.0)).cov.shape == (1, 1)


def test_normals_of_torch(double_precision):
    torch = pytest.importorskip("torch")
    mu, cov = torch.as_tensor(MU), torch.as_tensor(COV)
    of = torch.distributions
    joint = of.MultivariateNormal(mu, cov)
    # the distribution keeps the covariance's root
    np.testing.assert_allclose(fm.moments("relu", joint).cov, fm.relu_moments(mu, cov).cov, atol=1e-14)
    apart = of.Normal(mu, cov.diagonal().sqrt())
    want = fm.relu_moments(mu, torch.diag(apart.variance))
    same(fm.moments("relu", apart), want)
    same(fm.moments("relu", of.Independent(apart, 1)), want)
    low_rank = of.LowRankMultivariateNormal(mu, torch.ones(3, 1), torch.ones(3))
    same(fm.moments("relu", low_rank), fm.relu_moments(mu, low_rank.covariance_matrix))
    scale = torch.ones(3, requires_grad=True)
    fm.moments("relu", of.Normal(mu, scale)).cov.sum().backward()
    assert scale.grad.isfinite().all() and (scale.grad > 0).all()


def test_networks_take_normals(double_precision):
    torch = pytest.importorskip("torch")
    of = torch.distributions
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    model.eval().requires_grad_(False)
    mu, sd = torch.as_tensor(MU), torch.as_tensor(SD)
    apart = of.Normal(mu, sd)
    same(fm.propagate(model, apart), fm.propagate(model, mu, torch.diag(sd * sd)))
    same(fm.propagate(model, apart, covariance="diagonal"), fm.propagate(model, mu, sd * sd, "diagonal"))
    batch = of.Normal(mu.expand(2, 3), sd)
    same(fm.propagate(model, batch), fm.propagate(model, mu.expand(2, 3), torch.diag(sd * sd)))
    layers = [fm.compare.Residual("relu", np.eye(3))]
    same(fm.propagate(layers, stats.multivariate_normal(MU, COV)), fm.propagate(layers, MU, COV))
    assert fm.describe(model, apart).single


def test_an_image_of_independent_pixels(double_precision):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2), torch.nn.ReLU(), torch.nn.Flatten())
    model.eval().requires_grad_(False)
    images, sd = torch.randn(2, 1, 3, 3), torch.rand(2, 1, 3, 3)
    want = fm.propagate(model, images, torch.diag_embed(sd.reshape(2, 9) ** 2))
    pixels = torch.distributions.Normal(images, sd)
    same(fm.propagate(model, pixels), want)
    same(fm.propagate(model, torch.distributions.Independent(pixels, 3)), want)


def test_normals_of_numpyro(numpyro, jax_double_precision):
    jnp = pytest.importorskip("jax.numpy")
    mu, cov = jnp.asarray(MU), jnp.asarray(COV)
    same(fm.moments("relu", numpyro.MultivariateNormal(mu, cov)), fm.relu_moments(mu, cov))
    apart = numpyro.Normal(mu, jnp.asarray(SD))
    same(fm.moments("relu", apart), fm.relu_moments(mu, jnp.diag(apart.variance)))
    layers = [fm.compare.Affine(jnp.eye(3))]
    same(fm.propagate(layers, numpyro.MultivariateNormal(mu, cov)), fm.propagate(layers, mu, cov))


def test_the_stand_in_has_numpyros_names():
    real = pytest.importorskip("numpyro", reason="numpyro is not installed").distributions
    for kind in (Normal, MultivariateNormal):
        theirs = getattr(real, kind.__name__)
        assert theirs.__module__.startswith("numpyro.distributions")
        assert all(hasattr(theirs, name) for name in vars(kind) if not name.startswith("_"))


def test_other_distributions_are_refused():
    torch = pytest.importorskip("torch")
    of = torch.distributions
    for other, name in ((of.LogNormal(MU[0], 1.0), "LogNormal"), (stats.lognorm(1.0), "lognorm")):
        with pytest.raises(TypeError, match=f"mu: expected an array, or a normal .*; {name} is none"):
            fm.moments("relu", other)
        with pytest.raises(TypeError, match=f"{name} is none"):
            fm.propagate([fm.compare.Affine(np.eye(3))], other)
    with pytest.raises(TypeError, match="cov: a distribution as mu has its own covariance; leave cov out"):
        fm.propagate([fm.compare.Affine(np.eye(3))], stats.norm(0.0, 1.0), COV)


def test_a_matrix_of_normal_numbers_is_refused(numpyro):
    """As gpytorch's MultitaskMultivariateNormal, whose covariance has the order of rows or of columns."""
    tasks = numpyro.MultivariateNormal(np.zeros((3, 2)), np.eye(6))
    tasks.event_shape = (3, 2)
    with pytest.raises(TypeError, match="MultivariateNormal is none"):
        fm.propagate([fm.compare.Affine(np.eye(2))], tasks)


def test_gpytorch(double_precision):
    gpytorch = pytest.importorskip("gpytorch", reason="gpytorch is not installed")
    torch = pytest.importorskip("torch")
    mu, cov = torch.as_tensor(MU), torch.as_tensor(COV)
    normal = gpytorch.distributions.MultivariateNormal(mu, cov)
    same(fm.moments("relu", normal), fm.relu_moments(mu, cov))
    with pytest.raises(TypeError, match=r"cov: .*got linear_operator.*; pass cov.to_dense\(\)"):
        fm.relu_moments(mu, normal.lazy_covariance_matrix)
    tasks = gpytorch.distributions.MultitaskMultivariateNormal(mu[None], cov)
    with pytest.raises(TypeError, match="MultitaskMultivariateNormal is none"):
        fm.propagate(torch.nn.Linear(3, 2), tasks)


def test_lazy_and_sparse_covariances_of_networks_are_named():
    torch = pytest.importorskip("torch")
    model, mu = torch.nn.Linear(3, 2), torch.zeros(3)
    lazy = type("DiagLinearOperator", (), {"dtype": mu.dtype, "shape": (3, 3), "to_dense": None})
    lazy.__module__ = "linear_operator"
    with pytest.raises(TypeError, match=r"cov: .*got linear_operator.DiagLinearOperator; pass cov.to_dense\(\)"):
        fm.propagate(model, mu, lazy())
    with pytest.raises(TypeError, match=r"cov: .*got scipy.sparse.*; pass cov.toarray\(\)"):
        fm.propagate(model, mu, sparse.eye_array(3))


def test_results_go_into_distributions(double_precision):
    """The lines of docs/howto/objects.md."""
    torch = pytest.importorskip("torch")
    mean, cov = fm.relu_moments(MU, COV)
    x = np.full(3, 0.5)
    want = stats.multivariate_normal(mean, cov).logpdf(x)
    theirs = torch.distributions.MultivariateNormal(*map(torch.as_tensor, (mean, cov)))
    assert theirs.log_prob(torch.as_tensor(x)).item() == pytest.approx(want, rel=1e-12)
