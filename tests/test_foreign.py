"""Other libraries' activations where one is expected, and hints where a name is mistyped."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from scipy import special

import fastmoments as fm
from fastmoments.graph.foreign import activation_meant
from fastmoments.parameters import of_neurons, of_pairs
from fastmoments_kernels.custom import Custom, evaluate

X = np.linspace(-4.0, 4.0, 33)
ZEROS, EYE = np.zeros(2), np.eye(2)


def torch_cases():
    torch = pytest.importorskip("torch")
    nn, F = torch.nn, torch.nn.functional  # noqa: N806
    return [
        (nn.ReLU(), fm.ReLU()),
        (nn.ReLU, fm.ReLU()),
        (nn.ReLU(inplace=True), fm.ReLU()),
        (nn.LeakyReLU(0.2), fm.LeakyReLU(0.2)),
        (nn.GELU(), fm.GELU()),
        (nn.GELU("tanh"), "gelu_tanh"),
        (nn.Tanh(), fm.Tanh()),
        (nn.SiLU(), fm.SiLU()),
        (nn.Softplus(), fm.Softplus()),
        (nn.ELU(0.5), fm.ELU(0.5)),
        (nn.Hardtanh(-2.0, 1.0), fm.HardTanh(-2.0, 1.0)),
        (F.relu, fm.ReLU()),
        (F.gelu, fm.GELU()),
        (torch.sigmoid, fm.Sigmoid()),
        (torch.sin, fm.Sin()),
        (functools.partial(F.leaky_relu, negative_slope=0.3), fm.LeakyReLU(0.3)),
    ]


def test_modules_and_functions_of_torch():
    for given, expected in torch_cases():
        assert activation_meant(given) == expected, given


def test_moments_of_a_module_are_those_of_the_activation():
    """In every function of an activation, and in layers."""
    torch = pytest.importorskip("torch")
    module = torch.nn.ReLU()
    np.testing.assert_array_equal(fm.moments(module, ZEROS, EYE).cov, fm.relu_moments(ZEROS, EYE).cov)
    assert fm.mean(module, 0.5, 1.0) == fm.relu_mean(0.5, 1.0)
    assert fm.cov(torch.relu, 0.0, 0.0, 1.0, 1.0, 0.5) == fm.relu_cov(0.0, 0.0, 1.0, 1.0, 0.5)
    assert fm.dual(torch.nn.ReLU, 1.0, 1.0, 0.5) == fm.dual("relu", 1.0, 1.0, 0.5)
    for one, two in zip(
        fm.residual_moments(module, ZEROS, EYE, EYE), fm.residual_moments("relu", ZEROS, EYE, EYE), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert fm.nn.Activation(module).kind is fm.ReLU
    assert of_pairs(module) == ("relu", {})


def test_a_module_that_changes_is_asked_again():
    torch = pytest.importorskip("torch")
    module = torch.nn.LeakyReLU(0.2)
    before = of_neurons(module)
    module.negative_slope = 0.4
    assert (before[1], of_neurons(module)[1]) == ({"negative_slope": 0.2}, {"negative_slope": 0.4})


def test_a_module_without_a_closed_form_is_a_custom():
    torch = pytest.importorskip("torch")
    found = activation_meant(torch.nn.Mish())
    assert isinstance(found, Custom)
    np.testing.assert_allclose(evaluate(found, X), X * np.tanh(np.logaddexp(0.0, X)), rtol=1e-14)


@pytest.mark.parametrize(
    ("ufunc", "expected"),
    [
        (np.tanh, fm.Tanh()),
        (np.sin, fm.Sin()),
        (np.exp, fm.Exp()),
        (np.abs, fm.LeakyReLU(-1.0)),
        (special.erf, fm.Erf()),
        (special.expit, fm.Sigmoid()),
        (special.ndtr, fm.Probit()),
    ],
)
def test_ufuncs(ufunc, expected):
    assert activation_meant(ufunc) == expected


def test_functions_of_jax():
    jax = pytest.importorskip("jax")
    for given, expected in (
        (jax.nn.relu, fm.ReLU()),
        (jax.nn.sigmoid, fm.Sigmoid()),
        (jax.numpy.tanh, fm.Tanh()),
        (jax.nn.gelu, "gelu_tanh"),
        (functools.partial(jax.nn.gelu, approximate=False), fm.GELU()),
    ):
        assert activation_meant(given) == expected, given


def test_functions_of_jax_while_it_traces(jax_double_precision):
    """A function that has not been asked for before, inside of jit."""
    jax = pytest.importorskip("jax")
    relu6 = functools.partial(jax.nn.relu6)
    found = jax.jit(lambda x: fm.mean(relu6, x, 0.0 * x))(jax.numpy.array([-1.0, 2.0, 9.0]))
    np.testing.assert_allclose(found, [0.0, 2.0, 6.0])


def test_what_is_no_activation_is_refused():
    torch = pytest.importorskip("torch")
    for given in (
        torch.nn.Identity(),
        torch.nn.Softmax(-1),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(1, 1),
        np.add,
        np.sign,
    ):
        with pytest.raises(ValueError, match="activation: .* is not one: .*; give fm.propagate the model"):
            fm.moments(given, ZEROS, EYE)
    with pytest.raises(ValueError, match=r"activation: .* got a function; for a function f give fm.Custom\(f\)"):
        fm.moments(lambda x: x, ZEROS, EYE)
    with pytest.raises(ValueError, match=r"activation: expected one of .*, or Custom\(f\).*, got 3"):
        fm.moments(3, ZEROS, EYE)


def test_no_library_is_imported_for_it():
    code = (
        "import sys, numpy as np, fastmoments as fm; fm.mean(np.tanh, 0.0, 0.0); "
        "sys.exit(bool({'torch', 'jax'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (lambda: fm.relu_momments, "relu_moments"),
        (lambda: fm.Relu, "ReLU"),
        (lambda: fm.propogate, "propagate"),
        (lambda: fm.compare.linearize, "linearise"),
        (lambda: fm.nn.BayesLiner, "BayesLinear"),
        (lambda: fm.ufuncs.relu_maen, "relu_mean"),
        (lambda: fm.njit.relu_maen, "relu_mean"),
    ],
)
def test_attributes_that_there_are_not(wrong, right):
    pytest.importorskip("torch")
    with pytest.raises(AttributeError, match=f"did you mean {right}\\?"):
        wrong()


def test_names_of_activations_that_there_are_not():
    for wrong, right in (("rellu", '"relu"'), ("gelu_tan", '"gelu_tanh"'), ("swish", '"silu"')):
        with pytest.raises(ValueError, match=f"activation: .*{right}"):
            fm.moments(wrong, ZEROS, EYE)
    for wrong, right in (("elu", "ELU"), ("hard_tanh", "HardTanh"), ("ReLU6", "ReLU6")):
        with pytest.raises(ValueError, match=f"activation: expected an object such as fm.{right}"):
            fm.moments(wrong, ZEROS, EYE)
    assert not hasattr(fm, "nothing_like_it_at_all")
