"""Norms and softmax that a model writes out: what has their values is one, what has not is refused."""

import pytest

torch = pytest.importorskip("torch")

import fastmoments as fm  # noqa: E402


def kinds(model, shape):
    """The kinds of the values behind the input."""
    return [value.kind for value in fm.describe(model, torch.zeros(1, *shape, dtype=torch.float64)).values[1:]]


def layer_norm(x, eps=1e-5):
    apart = x - x.mean(-1, keepdim=True)
    return apart / torch.sqrt(apart.pow(2).mean(-1, keepdim=True) + eps)


def rms_norm(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def channels_first(x):
    mean = x.mean(1, keepdim=True)
    var = (x - mean).pow(2).mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-6)


def softmax(x):
    e = torch.exp(x - x.amax(-1, keepdim=True))
    return e / e.sum(-1, keepdim=True)


KNOWN = {
    # of x less its mean a layer norm is an rms norm
    "layer norm": (layer_norm, (2, 5), "rms norm"),
    "unbiased": (
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt(),
        (5,),
        "layer norm",
    ),
    "rms norm": (rms_norm, (2, 5), "rms norm"),
    "unit vectors": (lambda x: torch.nn.functional.normalize(x, dim=1), (4, 3), "rms norm"),
    "channels first": (channels_first, (3, 2, 2), "layer norm"),
    "of groups": (lambda x: layer_norm(x.reshape(len(x), 2, -1)).reshape(x.shape), (4, 3), "rms norm"),
    "softmax": (softmax, (2, 3), "softmax"),
    "plain softmax": (lambda x: x.exp() / x.exp().sum(1, keepdim=True), (2, 3), "softmax"),
    "of scaled logits": (lambda x: softmax(0.5 * x + 1.0), (4,), "softmax"),
    "log-sum-exp": (lambda x: x.exp().sum(-1).log(), (2, 3), "logsumexp"),
    "log-softmax": (lambda x: x - x.exp().sum(-1, keepdim=True).log(), (4,), "log_softmax"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_has_the_values_of_a_norm_or_softmax_is_one(name):
    model, shape, kind = KNOWN[name]
    assert kind in kinds(model, shape)


@pytest.mark.parametrize("name", ["layer norm", "rms norm", "unbiased", "unit vectors", "softmax", "log-softmax"])
def test_moments_are_those_of_samples(name):
    (model, shape, _), n = KNOWN[name], 4
    shape = (n, 1) if name == "unit vectors" else (n,)  # one group
    rng = torch.Generator().manual_seed(1)
    mu = torch.randn(1, *shape, generator=rng, dtype=torch.float64)
    root = 0.1 * torch.randn(n, n, generator=rng, dtype=torch.float64)
    x = mu + (torch.randn(2**16, n, generator=rng, dtype=torch.float64) @ root.mT).reshape(-1, *shape)
    y = model(x).reshape(len(x), -1)
    mean, cov = fm.propagate(model, mu, (root @ root.mT)[None])
    sd = y.std(0)
    # 2^16 samples: 4e-3 standard deviations, five of them
    assert ((mean.reshape(-1) - y.mean(0)).abs() <= 2e-2 * sd).all()
    assert ((cov[0] - torch.cov(y.T)).abs() <= 4e-2 * torch.outer(sd, sd)).all()


OTHERS = {
    "the deviation plus eps": lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-3),
    "the largest": lambda x: x / (x.abs().amax(-1, keepdim=True) + 1.0),
    "another sum": lambda x: x.exp() / (1.0 + x.exp().sum(-1, keepdim=True)),
    "its square": lambda x: x.square().exp() / x.exp().sum(-1, keepdim=True),
    "fourth powers": lambda x: x * torch.rsqrt(x.pow(4).mean(-1, keepdim=True) + 1e-5),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_has_others_is_refused(name):
    with pytest.raises(TypeError, match="quotient|not finite|no rule"):
        fm.describe(OTHERS[name], torch.zeros(1, 4, dtype=torch.float64))


def test_parameters_inside_a_norm_keep_their_gradients():
    """Weights stand behind the norm, also where the model multiplies them with its inverse deviation."""
    weight = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64, requires_grad=True)

    def model(x):
        return x * (torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight)

    mu, cov = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64), 0.1 * torch.eye(3, dtype=torch.float64)[None]
    mean, _ = fm.propagate(model, mu, cov)
    plain, _ = fm.propagate(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5), mu, cov)
    torch.testing.assert_close(mean, plain * weight)
    (gradient,) = torch.autograd.grad(mean.sum(), weight)
    torch.testing.assert_close(gradient, plain[0])


def test_an_eps_that_is_learned_is_refused_by_name():
    eps = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(TypeError, match="rsqrt"):
        fm.describe(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps), torch.zeros(1, 3).double())


@pytest.mark.usefixtures("jax_double_precision")
def test_jax_functions_are_recognised():
    jax = pytest.importorskip("jax")
    for model, kind in ((jax.nn.softmax, "softmax"), (jax.nn.standardize, "layer norm")):
        values = fm.describe(model, jax.numpy.zeros(4)).values
        assert kind in [value.kind for value in values]
