"""What networks draw themselves, drawn of uniform numbers: against exact moments and against their definitions."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.all_masks import KEEP, Of, P, assert_drawn, gaussian  # noqa: E402
from tests.model_runs import run_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")

COUNT = 20000
ALPHA = 1.0507009873554804934193349852946 * 1.6732632423543772848170429916717

# a module and the shape of an example; mean and covariance of each are exact in closed form
LAYERS = {
    "BayesLinear": (lambda: fm.nn.BayesLinear(3, 2, initial_sd=0.6), (3,)),
    "BayesLinear without a bias": (lambda: fm.nn.BayesLinear(3, 2, bias=False, initial_sd=0.6), (3,)),
    "BayesLinear of rows": (lambda: fm.nn.BayesLinear(2, 2, initial_sd=0.6), (2, 2, 2)),
    "BayesConv1d": (lambda: fm.nn.BayesConv1d(2, 2, 2, initial_sd=0.6), (2, 3)),
    "BayesConv1d, groups": (lambda: fm.nn.BayesConv1d(2, 2, 3, padding="same", groups=2, bias=False), (2, 2)),
    "BayesConv2d": (lambda: fm.nn.BayesConv2d(1, 2, (2, 1), padding=(1, 0), stride=2, initial_sd=0.6), (1, 2, 2)),
    "BayesConv3d": (lambda: fm.nn.BayesConv3d(1, 1, (1, 1, 2), initial_sd=0.6), (1, 1, 2, 2)),
    "Dropout": (lambda: nn.Dropout(P), (2, 2)),
    "Dropout1d": (lambda: nn.Dropout1d(P), (2, 2)),
    "Dropout1d of a vector": (lambda: nn.Dropout1d(P), (3,)),
    "Dropout2d": (lambda: nn.Dropout2d(P), (2, 2, 1)),
    "Dropout3d": (lambda: nn.Dropout3d(P), (2, 1, 2, 1)),
    "channels behind": (lambda: Of(lambda m, x: F.dropout1d(x.mT, P).mT), (2, 2)),
    "joined with the batch": (
        lambda: Of(lambda m, x: F.dropout1d(x.flatten(0, 1), P).unflatten(0, (-1, 2))),
        (2, 2, 1),
    ),
    "AlphaDropout": (lambda: nn.AlphaDropout(P), (3,)),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout(P), (2, 2, 1)),
    "StochasticDepth": (lambda: fm.nn.StochasticDepth(P), (2, 2)),
    "AdditiveNoise": (lambda: fm.nn.AdditiveNoise(0.7), (2, 2)),
    "MultiplicativeNoise": (lambda: fm.nn.MultiplicativeNoise(0.7), (3,)),
    "BernoulliProbit": (lambda: fm.nn.Activation(fm.BernoulliProbit()), (3,)),
    "a module twice": (lambda: Of(lambda m, x: m.drop(x) - m.drop(x)), (3,)),
    "a value twice": (lambda: Of(lambda m, x: (y := m.drop(x)) + m.linear(y)), (3,)),
}


def uniforms(rows, run, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((rows, run.draws)))


@pytest.mark.parametrize("name", LAYERS)
def test_draws_have_the_exact_moments(name):
    """Every mean and covariance within 6 standard errors of 20,000 rows, at inputs that are drawn too."""
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    module, (mu, cov) = make().requires_grad_(False), gaussian(*shape)
    run = run_of(module, mu)
    rng = np.random.default_rng(len(name))
    x = mu.reshape(-1) + torch.from_numpy(rng.normal(size=(COUNT, len(cov[0])))) @ torch.linalg.cholesky(cov[0]).T
    assert_drawn(fm.propagate(module, mu, cov), run([x.reshape(COUNT, *shape)], uniforms(COUNT, run)))


def test_a_layer_of_random_weights_is_gaussian_at_a_certain_input():
    """Third and fourth moments too: the excess kurtosis of 20,000 rows has a standard error of .035."""
    layer, x = fm.nn.BayesLinear(3, 2, initial_sd=0.6).requires_grad_(False), torch.tensor([[1.0, -2.0, 0.5]])
    run = run_of(layer, x)
    assert run.draws == 2
    y = run([x.expand(COUNT, 3)], uniforms(COUNT, run))
    z = (y - y.mean(0)) / y.std(0)
    assert ((z**3).mean(0).abs() < 5 * (6 / COUNT) ** 0.5).all()
    assert ((z**4).mean(0) - 3.0).abs().max() < 5 * (24 / COUNT) ** 0.5


def test_positions_share_weights_and_rows_of_points_do_not():
    layer = fm.nn.BayesLinear(2, 3, bias=False, initial_sd=0.8).requires_grad_(False)
    x = torch.tensor([[[1.0, 2.0], [2.0, 4.0]]])
    run = run_of(layer, x)
    y = run([x.expand(1000, 2, 2)], uniforms(1000, run)).reshape(1000, 2, 3)
    torch.testing.assert_close(y[:, 1], 2.0 * y[:, 0])
    # a correlation of 999 pairs has a standard error of .032
    assert abs(np.corrcoef(y[1:, 0, 0], y[:-1, 0, 0])[0, 1]) < 0.16
    conv = fm.nn.BayesConv1d(1, 1, 1, bias=False, initial_sd=0.8).requires_grad_(False)
    run = run_of(conv, torch.ones(1, 1, 3))
    y = run([torch.ones(1000, 1, 3)], uniforms(1000, run))
    torch.testing.assert_close(y[:, :1].expand(-1, 3), y)
    assert y[:, 0].std() > 0.5


# the module, the shape of ones that it is given, its two values, and which elements share a mask
MASKS = {
    "Dropout": (nn.Dropout(P), (3,), (0.0, 1.0 / KEEP), [0, 1, 2]),
    "Dropout1d": (nn.Dropout1d(P), (2, 2), (0.0, 1.0 / KEEP), [0, 0, 1, 1]),
    "StochasticDepth": (fm.nn.StochasticDepth(P), (2, 2), (0.0, 1.0 / KEEP), [0, 0, 0, 0]),
    "AlphaDropout": (
        nn.AlphaDropout(P),
        (3,),
        # Klambauer et al.: a (x m - alpha (1 - m)) + a p alpha
        tuple((KEEP + ALPHA**2 * KEEP * P) ** -0.5 * np.array([-ALPHA + P * ALPHA, 1.0 + P * ALPHA])),
        [0, 1, 2],
    ),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_have_two_values(name):
    module, shape, values, labels = MASKS[name]
    run = run_of(module, torch.ones(1, *shape))
    assert run.draws == max(labels) + 1
    y = run([torch.ones(COUNT, *shape)], uniforms(COUNT, run)).numpy()
    dropped = np.abs(y - values[0]) < 1e-12
    assert (dropped | (np.abs(y - values[1]) < 1e-12)).all()
    for k, one in enumerate(labels):
        for j, other in enumerate(labels):
            assert (dropped[:, k] == dropped[:, j]).all() == (one == other)
    assert (np.abs(dropped.mean(0) - P) < 5 * (P * KEEP / COUNT) ** 0.5).all()


def test_stochastic_neurons_are_ones_and_zeros():
    run = run_of(fm.nn.Activation(fm.BernoulliProbit()), torch.zeros(1, 4))
    x = torch.tensor([-1.0, 0.0, 2.0, torch.inf])
    y = run([x.expand(COUNT, 4)], uniforms(COUNT, run))
    assert set(y.unique().tolist()) == {0.0, 1.0}
    chance = torch.special.ndtr(x)
    assert ((y.mean(0) - chance).abs() <= 5 * (chance * (1.0 - chance) / COUNT).sqrt()).all()
    assert run.jumps is True


def test_lists_have_stochastic_neurons_on_every_library(jax_double_precision):
    import jax.numpy as jnp

    x, u = np.random.default_rng(0).normal(size=(50, 2)), np.random.default_rng(1).random((50, 2))
    values = []
    for made in (np.asarray, torch.from_numpy, jnp.asarray):
        step = fm.compare.Residual(fm.BernoulliProbit(), made(np.array([[1.0, 0.5], [0.0, 1.0]])))
        run = run_of([step, fm.compare.Affine(made(np.array([[1.0, -2.0]])))], made(x[:1]))
        assert run.draws == 2 and run.jumps is True
        values.append(np.asarray(run([made(x)], made(u))))
    for found in values:
        np.testing.assert_array_equal(found, values[0])
        assert found.shape == (50, 1)
    assert set(values[0].ravel()) == {-2.0, -1.0, 0.0, 1.0}


def test_noise_where_a_function_has_no_rule():
    """Sorting has no rule; the graph as it is recorded has its values all the same."""
    model = Of(lambda m, x: m.drop(x).sort().values)
    run = run_of(model, torch.zeros(1, 3))
    x, u = torch.randn(20, 3), torch.rand(20, 3)
    torch.testing.assert_close(run([x], u), torch.where(u < P, 0.0, x / KEEP).sort().values)
    assert run.draws == 3 and run.jumps is None


def test_a_draw_of_zero_is_finite():
    run = run_of(fm.nn.AdditiveNoise(1.0), torch.zeros(1, 2))
    assert torch.isfinite(run([torch.zeros(1, 2)], torch.tensor([[0.0, 1.0 - 2.0**-53]]))).all()


@pytest.mark.parametrize("name", ["BayesLinear", "BayesLinear of rows", "BayesConv1d", "MultiplicativeNoise"])
def test_draws_have_gradients(name):
    """Against central differences along the input and every parameter; nothing is nan at an input of 0."""
    make, shape = LAYERS[name]
    layer, x = make(), torch.randn(4, *shape, requires_grad=True)
    u = uniforms(4, run_of(layer, x.detach()))
    assert torch.autograd.gradcheck(lambda x, *rest: run_of(layer, x.detach())([x], u), (x, *layer.parameters()))
    zero = torch.zeros(4, *shape, requires_grad=True)
    run_of(make(), zero.detach())([zero], u).sum().backward()
    assert torch.isfinite(zero.grad).all()


def own(**options):
    def rule(module, value):
        return fm.nn.affine(value, lambda x: 2.0 * x, own=lambda second: 0.5 * second + 0.1, **options)

    return {nn.Identity: rule}


@pytest.mark.parametrize("shared", [True, False])
def test_own_rules_are_drawn_if_they_are_gaussian(shared):
    mu, cov = gaussian(2, 2)
    rules = own(shared=shared, gaussian=True)
    run = run_of(nn.Identity(), mu, rules=rules)
    rng = np.random.default_rng(5)
    x = mu.reshape(-1) + torch.from_numpy(rng.normal(size=(COUNT, 4))) @ torch.linalg.cholesky(cov[0]).T
    y = run([x.reshape(COUNT, 2, 2)], uniforms(COUNT, run))
    assert_drawn(fm.propagate(nn.Identity(), mu, cov, rules=rules), y)


def test_own_rules_are_drawn_as_they_say():
    signs = own(shared=False, draw=(3, lambda u, x: 2.0 * x + torch.where(u < 0.5, -1.0, 1.0)))
    run = run_of(nn.Identity(), torch.zeros(1, 3), rules=signs)
    assert set(run([torch.zeros(100, 3)], torch.rand(100, 3)).unique().tolist()) == {-1.0, 1.0}


def test_own_rules_that_do_not_say_how_to_draw_are_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Identity())
    with pytest.raises(TypeError, match="^1: what is random .* gaussian=True or draw="):
        run_of(model, torch.zeros(1, 3), rules=own())


def test_layers_of_too_many_weights_are_refused():
    model = nn.Sequential(fm.nn.BayesLinear(3000, 3000))
    with pytest.raises(ValueError, match="^0: every row takes 9,003,000 random numbers"):
        run_of(model, torch.zeros(1, 2, 3000))
