"""A Laplace posterior as weights of BayesLinear: one pass has the moments of its own samples."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def check(example, model, mean, variance, weights):
    """Mean and variance within 5 standard errors of the samples' own, at every point: 18 chances of 6e-7 each."""
    bayesian = example.with_posterior(model, mean, variance)
    one_mean, one_var = (x.numpy() for x in example.predicted(bayesian, example.POINTS))
    samples = example.sampled(model, weights, example.POINTS).detach().numpy()
    count, centred = len(samples), samples - samples.mean(0)
    var = (centred**2).mean(0)
    assert (np.abs(one_mean - samples.mean(0)) < 5 * np.sqrt(var / count)).all()
    of_var = np.sqrt(((centred**4).mean(0) - var**2) / count)
    assert (np.abs(one_var - var) < 5 * of_var).all()
    # a wrong order of the weights would show
    assert (one_var > 10 * of_var).all()


def test_independent_gaussian_weights(monkeypatch, double_precision):
    monkeypatch.syspath_prepend("examples")
    import laplace_posterior as example

    model, _ = example.trained(steps=20)
    mean = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    variance = 0.05 * torch.rand_like(mean) + 0.01
    weights = mean + variance.sqrt() * torch.randn(20000, len(mean))
    check(example, model, mean, variance, weights)
    with pytest.raises(ValueError, match="mean: expected 61 weights, those of the model, got 62"):
        example.with_posterior(model, torch.ones(62), torch.ones(62))


@pytest.mark.slow
def test_a_posterior_of_laplace_torch(monkeypatch, double_precision):
    pytest.importorskip("laplace", reason="laplace-torch is not installed")
    monkeypatch.syspath_prepend("examples")
    import laplace_posterior as example

    model, data = example.trained()
    posterior = example.fitted(model, data)
    weights = posterior.sample(20000)
    check(example, model, posterior.mean.detach(), posterior.posterior_variance.detach(), weights)
