"""Checked answers of PyTorch models: derivatives, dtypes, structures, and models that the graph does not know."""

import math
import warnings

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def _double(double_precision):
    """float64, seeded, and one thread for all."""


def dense(*widths, activation=nn.ReLU):
    """A network of dense layers, with the activation between them."""
    layers = []
    for one, two in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(one, two), activation()]
    return nn.Sequential(*layers[:-1]).eval()


def gaussian(n, sd=1.0):
    """Mean and covariance that ask for derivatives."""
    factor = torch.randn(n, n) / math.sqrt(n)
    cov = sd**2 * (factor @ factor.mT + 0.5 * torch.eye(n))
    return torch.randn(n).requires_grad_(), cov.requires_grad_()


def read(result):
    """A number that means and covariances decide."""
    mean, cov = result[:2]
    return (mean * torch.arange(1.0, 1.0 + len(mean))).sum() + (
        cov * torch.arange(1.0, 1.0 + cov.numel()).reshape(cov.shape)
    ).sum()


def gradients(result, *arrays):
    return torch.autograd.grad(read(result), arrays)


def test_derivatives_are_those_of_the_exact_moments_of_one_hidden_layer():
    model = dense(3, 6, 2)
    mu, cov = gaussian(3)
    wanted = gradients(fm.propagate(model, mu, cov), mu, cov, model[0].weight, model[2].bias)
    found = gradients(fm.propagate(model, mu, cov, tol=2e-3), mu, cov, model[0].weight, model[2].bias)
    for one, two in zip(found, wanted, strict=True):
        # paths have the relative error of the points, not the claim's
        assert (one - two).norm() < 0.01 * two.norm()


def test_paths_alone_have_the_derivatives_of_the_exact_moments():
    # sorting has no rule: there is no start, and sorting the outputs of a network twice is the network
    model, mu, cov = dense(3, 6, 1), *gaussian(3)

    def opaque(x):
        return torch.sort(model(x), dim=-1).values

    wanted = gradients(fm.propagate(model, mu, cov), mu, cov, model[0].weight)
    result = fm.propagate(opaque, mu, cov, tol=2e-3)
    assert result.closure is None and (result.weight == 0.0).all()
    for one, two in zip(gradients(result, mu, cov, model[0].weight), wanted, strict=True):
        assert (one - two).norm() < 0.02 * two.norm()


def test_derivatives_do_not_change_values():
    model, mu, cov = dense(4, 8, 8, 2), *gaussian(4)
    tracked = fm.propagate(model, mu, cov, tol=0.01)
    with torch.no_grad():
        plain = fm.propagate(model, mu, cov, tol=0.01)
    for one, two in zip(tracked[:3], plain[:3], strict=True):
        assert torch.equal(one, two)
    assert tracked.mean.requires_grad and not plain.mean.requires_grad
    assert not any(x.requires_grad for x in (tracked.error, tracked.weight, tracked.points))


def test_derivatives_are_those_of_differences_of_one_seed():
    # one direction is turned by nothing, so that the points stay where they are
    model, (mu, cov) = dense(1, 8, 8, 1, activation=nn.GELU), gaussian(1)
    result = fm.propagate(model, mu, cov, tol=0.01, seed=5)
    found = gradients(result, mu, cov)
    step = 1e-5
    with torch.no_grad():
        for k, (of_mu, of_cov) in enumerate(((step, 0.0), (0.0, step))):
            more, less = (
                read(fm.propagate(model, mu + sign * of_mu, cov + sign * of_cov, tol=0.01, seed=5))
                for sign in (1.0, -1.0)
            )
            slope = float(more - less) / (2.0 * step)
            # weights, which are frozen, are 0 for one input but for 1e-3
            assert abs(float(found[k]) - slope) < 0.02 * abs(slope)


def test_jumps_have_the_derivatives_of_the_start():
    model = dense(4, 32, 32, 2, activation=lambda: fm.nn.Activation("heaviside"))
    mu, cov = gaussian(4)
    found = gradients(fm.propagate(model, mu, cov, tol=0.02), mu, cov)
    wanted = gradients(fm.propagate(model, mu, cov, cumulants=True), mu, cov)
    for one, two in zip(found, wanted, strict=True):
        assert torch.equal(one, two) and one.norm() > 0.0


def test_a_covariance_whose_eigenvalues_are_equal_has_derivatives():
    model, cov = dense(3, 6, 2), torch.eye(3, requires_grad=True)
    mu = torch.zeros(3)
    (wanted,) = gradients(fm.propagate(model, mu, cov), cov)
    (found,) = gradients(fm.propagate(model, mu, cov, tol=2e-3), cov)
    assert (found - wanted).norm() < 0.01 * wanted.norm()


def test_a_singular_covariance_has_derivatives_along_its_range():
    model, mu = dense(3, 6, 2), torch.randn(3)
    along = torch.randn(3)
    scale = torch.tensor(1.5, requires_grad=True)

    def cov():
        return scale * along[:, None] * along

    (wanted,) = gradients(fm.propagate(model, mu, cov()), scale)
    (found,) = gradients(fm.propagate(model, mu, cov(), tol=2e-3), scale)
    assert abs(found - wanted) < 0.01 * abs(wanted)


def test_variances_have_derivatives():
    model, mu = dense(3, 6, 2), torch.randn(3)
    var = torch.rand(3).requires_grad_()

    def opaque(x):
        return torch.sort(model(x)[:, :1], dim=-1).values

    def full(x):
        return model(x)[:, :1]

    mean, cov = fm.propagate(full, mu, torch.diag(var))
    (wanted,) = torch.autograd.grad(mean.sum() + cov.sum(), var)
    result = fm.propagate(opaque, mu, var, "diagonal", tol=2e-3)
    (found,) = torch.autograd.grad(result.mean.sum() + result.var.sum(), var)
    assert (found - wanted).norm() < 0.01 * wanted.norm()


def test_float32_stays_float32():
    model = dense(4, 8, 8, 2).float()
    with torch.no_grad():
        result = fm.propagate(
            model, torch.zeros(4, dtype=torch.float32), torch.eye(4, dtype=torch.float32), tol=0.02
        )
        double = fm.propagate(model.double(), torch.zeros(4), torch.eye(4), tol=0.02)
    assert {x.dtype for x in (result.mean, result.cov, result.error, result.weight, result.points)} == {
        torch.float32
    }
    assert result.met and result.count == double.count
    torch.testing.assert_close(result.mean.double(), double.mean, rtol=1e-4, atol=1e-4)


def test_several_inputs_and_outputs_keep_their_structure():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(2, 5), nn.Linear(3, 5)

        def forward(self, x, y):
            hidden = torch.relu(self.one(x) + self.two(y))
            return {"sum": hidden.sum(-1, keepdim=True), "all": hidden.reshape(-1, 5, 1)}

    model = Two().eval()
    with torch.no_grad():
        mu = torch.randn(4, 2), torch.randn(4, 3)
        result = fm.propagate(model, mu, torch.eye(5), tol=0.02)
        exact = fm.propagate(model, mu, torch.eye(5))
    assert {name: x.shape for name, x in result.mean.items()} == {"sum": (4, 1), "all": (4, 5, 1)}
    assert result.cov.shape == (4, 6, 6) and result.points[0].shape[1] == 6
    torch.testing.assert_close(result.mean["all"], exact.mean["all"], rtol=0.1, atol=0.05)


def test_a_layer_without_a_rule_has_points():
    # the larger of two standard normals has the mean 1 / sqrt(pi) and the variance 1 - 1 / pi
    result = fm.propagate(lambda x: torch.sort(x).values, torch.zeros(2), torch.eye(2), tol=5e-3)
    assert result.closure is None and result.met
    larger = 1.0 / math.sqrt(math.pi)
    torch.testing.assert_close(result.mean, torch.tensor([-larger, larger]), atol=5e-3, rtol=0.0)
    wanted = torch.tensor([[1.0 - 1.0 / math.pi, 1.0 / math.pi], [1.0 / math.pi, 1.0 - 1.0 / math.pi]])
    torch.testing.assert_close(result.cov, wanted, atol=5e-3, rtol=0.0)


@pytest.mark.parametrize("inputs", [1, 3])
def test_what_quadrature_cannot_integrate_has_points_alone(inputs):
    # P(Z > 1) by a slope that no quadrature sees
    def steep(x):
        return torch.tanh(torch.sigmoid(1e4 * (x - 1.0)))

    result = fm.propagate(steep, torch.zeros(inputs), torch.eye(inputs), tol=0.05)
    assert result.closure is None and result.met
    torch.testing.assert_close(
        result.mean, torch.full((inputs,), 0.15865525393 * math.tanh(1.0)), rtol=0.1, atol=0.0
    )


def test_values_beyond_the_limit_have_points_alone():
    model = dense(3, 40, 1)
    with torch.no_grad():
        result = fm.propagate(model, torch.zeros(3), torch.eye(3), tol=0.02, limit=20)
        exact = fm.propagate(model, torch.zeros(3), torch.eye(3))
    assert result.closure is None and result.met
    torch.testing.assert_close(result.mean, exact.mean, rtol=0.0, atol=float(0.02 * exact.cov.sqrt()))


def test_what_draws_random_numbers_is_refused_by_name():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    with pytest.raises(TypeError, match="rand"):
        fm.propagate(nn.Sequential(nn.Linear(2, 2), Noisy()), torch.zeros(2), torch.eye(2), tol=0.1)


def test_random_weights_are_drawn_for_every_point():
    layer = fm.nn.BayesLinear(3, 2)
    mu, cov = torch.randn(3), 0.3 * torch.eye(3)
    with torch.no_grad():
        exact = fm.propagate(layer, mu, cov)
        result = fm.propagate(layer, mu, cov, tol=0.01)
    sd = exact.cov.diagonal().sqrt()
    assert ((result.mean - exact.mean) / sd).square().mean().sqrt() <= 0.01
    assert (result.cov - exact.cov).norm() <= 0.01 * exact.cov.norm()
    # of the points by themselves, whose weight is not all
    torch.testing.assert_close(result.points.var(0), exact.cov.diagonal(), rtol=0.1, atol=0.0)


def test_transforms_of_functions_are_refused():
    model = dense(2, 4, 1)
    with pytest.raises(TypeError, match="tol: it needs values"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.func.grad(lambda mu: fm.propagate(model, mu, torch.eye(2), tol=0.1).mean.sum())(torch.zeros(2))


def test_quantiles_are_tensors():
    with torch.no_grad():
        result = fm.propagate(dense(2, 4, 3), torch.zeros(2), torch.eye(2), tol=0.05)
    found = result.quantile([0.25, 0.75])
    np.testing.assert_allclose(found.numpy(), np.quantile(result.points.numpy(), [0.25, 0.75], axis=0), rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    model = dense(3, 8, 2).requires_grad_(False)
    truth = fm.propagate(model, torch.zeros(3), torch.eye(3))
    mu, cov = torch.zeros(3, dtype=dtype), torch.eye(3, dtype=dtype)
    result = fm.propagate(model.to(dtype), mu, cov, tol=0.05)
    assert result.met and result.quantile(0.5).dtype == result.mean.dtype == dtype and "met=True" in repr(result)
    sd = truth.cov.diagonal().sqrt()
    assert ((result.mean.double() - truth.mean) / sd).square().mean().sqrt() < 0.05
    with pytest.raises(TypeError, match="cumulants: expected float32 or float64"):
        fm.propagate(model, mu, cov, cumulants=True)


@pytest.mark.parametrize(("scale", "offset"), [(1e25, 0.0), (1e-30, 0.0), (1.0, 1e7)])
def test_what_the_dtype_cannot_hold_is_not_met(scale, offset):
    # variances of 1e50 and 1e-60 are infinite and 0 in float32, and 1e7 has steps of 1
    mu, cov = torch.zeros(2, dtype=torch.float32), torch.eye(2, dtype=torch.float32)
    with pytest.warns(fm.AccuracyWarning, match="rounding to float32 alone is .*; give arrays in float64"):
        result = fm.propagate(lambda x: scale * torch.relu(x) + offset, mu, cov, tol=0.02)
    assert result.met is False and result.count == 512


def test_complex_outputs_are_refused():
    with pytest.raises(TypeError, match="model: it returns complex numbers"):
        fm.propagate(torch.fft.fft, torch.zeros(3), torch.eye(3), tol=0.1)


def test_a_model_without_outputs_and_one_without_inputs():
    assert fm.propagate(lambda x: x[:, :0], torch.zeros(3), torch.eye(3), tol=0.1).mean.shape == (0,)
    found = fm.propagate(lambda x: torch.ones(len(x), 2), torch.zeros(0), torch.eye(0), tol=0.1)
    assert found.mean.tolist() == [1.0, 1.0] and (found.cov == 0.0).all()
