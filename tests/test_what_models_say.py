"""Errors of networks by their layers, libraries and options: what is wrong is named, with the way out."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.compare import Affine, Residual

torch = pytest.importorskip("torch")
MODEL = torch.nn.Linear(3, 2)
MU, COV = torch.zeros(3), torch.eye(3)


def test_variances_in_the_words_of_the_library():
    jnp = pytest.importorskip("jax.numpy")
    networks = {
        "torch": (MODEL, torch.zeros, torch.ones),
        "jnp": (lambda x: 2.0 * x, jnp.zeros, jnp.ones),
        "np": ([Affine(np.eye(3))], np.zeros, np.ones),
    }
    for name, (model, zeros, ones) in networks.items():
        with pytest.raises(ValueError, match=rf"Variances\? {name}\.diag\(var\)\. .* {name}\.diag\(sd\*\*2\)$"):
            fm.propagate(model, zeros(3), ones(3))
        batch = r"torch\.diag_embed\(var\)" if name == "torch" else rf"var\[\.\.\., None\] \* {name}\.eye\(3\)"
        with pytest.raises(ValueError, match=rf"Variances\? {batch}"):
            fm.propagate(model, zeros((4, 3)), ones((4, 3)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"var": COV}, r"'var'; did you mean cov\?"),
        ({"mean": MU}, r"'mean'; did you mean mu\?"),
        ({"samples": 100}, r"'samples'; did you mean most\?"),
        ({"tolerance": 0.1}, r"'tolerance'; did you mean tol\?"),
        ({"limit": "a"}, r"limit: expected a number of elements, got 'a'"),
        ({"rules": [torch.nn.ReLU]}, r"rules: expected a dictionary \{Class: rule\}, got list"),
        ({"rules": {"ReLU": None}}, r"rules: expected classes of modules as keys, got 'ReLU'"),
    ],
    ids=str,
)
def test_options(options, says):
    with pytest.raises(TypeError, match=says):
        fm.propagate(MODEL, MU, COV, **options)


def test_lazy_modules():
    for how in ({}, {"tol": 0.1}):
        model = torch.nn.LazyLinear(2)
        with pytest.raises(TypeError, match="model: its weight has no shape yet; call the model once"):
            fm.propagate(model, MU, COV, **how)
    model(MU)
    assert fm.propagate(model, MU, COV).mean.shape == (2,)


def test_several_inputs():
    says = r"missing 1 required positional argument: 'y'; several inputs are a tuple mu, and cov .* \(n, n\)$"
    jnp = pytest.importorskip("jax.numpy")
    for zeros, eye in ((torch.zeros, torch.eye), (jnp.zeros, jnp.eye)):
        with pytest.raises(ValueError, match=says):
            fm.propagate(lambda x, y: x + y, zeros(3), eye(3))
        assert fm.propagate(lambda x, y: x + y, (zeros(3), zeros(3)), eye(6)).cov[0, 0] == 2.0


def test_jax_models_that_ask_for_values():
    jnp = pytest.importorskip("jax.numpy")
    for model in (lambda x: x if x.sum() > 0 else -x, np.tanh):
        with pytest.raises(ValueError, match=r"write it with jax\.numpy, and with jnp\.where .* if$"):
            fm.propagate(model, jnp.zeros(3), jnp.eye(3))


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            Residual(np.eye(3), "relu"),
            r"expected a matrix as Residual\(activation, A, b, C, d\) has it",
        ),
        (Affine(None), r"expected a matrix as Affine\(weight, bias\) has it, got None"),
    ],
    ids=["swapped", "none"],
)
def test_layers_without_a_matrix(layer, says):
    for method in (fm.propagate, fm.compare.linearise):
        with pytest.raises(TypeError, match=rf"^layers\[0\]: {says}"):
            method([layer], np.zeros(3), np.eye(3))


def test_functions_of_numpy_that_raise():
    with pytest.raises(ValueError, match=r"^model: it raises for inputs of shape \(3, 3\): ValueError: matmul"):
        fm.propagate(lambda x: x @ np.ones((4, 1)), np.zeros(3), np.eye(3), tol=0.1)


def test_trees_of_jax_that_can_be_called_are_inputs():
    """A Gaussian over the weights of a layer: the mean of w x is that of w times x, its variance x^2."""
    equinox, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    layer = equinox.nn.Linear(2, 1, use_bias=False, key=jax.random.key(0))
    x = jax.numpy.array([3.0, 4.0])
    found = fm.propagate(lambda net: net(x), layer, jax.numpy.eye(2))
    assert found.cov[0, 0] == pytest.approx(25.0)
    assert found.mean[0] == pytest.approx(float((layer.weight @ x)[0]))
