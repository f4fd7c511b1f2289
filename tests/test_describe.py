"""fm.describe: rows, what is exact, where values meet, the largest value."""

import doctest
import functools
import importlib

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.compare import Affine, Residual


def rows(model, *inputs, **given):
    return [value[:5] for value in fm.describe(model, *inputs, **given).values]


def test_the_example_of_the_docstring():
    module = importlib.import_module("fastmoments.graph.describe")
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


@pytest.mark.feature("NumPy", "networks: fm.describe")
def test_a_list_with_a_skip():
    ones = functools.partial(np.ones, dtype=np.float32)
    layers = [
        Residual(fm.Erf(), ones((2, 3)), ones(2), ones((2, 3)), ones(2)),
        Residual("tanh", ones((4, 2))),
        Affine(ones((1, 4))),
    ]
    found = fm.describe(layers, np.zeros((5, 3), np.float32))
    assert [value[:5] for value in found.values] == [
        (0, "input", "input", (3,), "given"),
        (1, "layers[0]: A", "affine", (2,), "exact"),
        (2, "layers[0]: C", "affine", (2,), "exact"),
        (3, "layers[0]: f", "Erf", (2,), "exact"),
        (4, "layers[0]", "sum", (2,), "exact"),
        (5, "layers[1]: A", "affine", (4,), "exact"),
        (6, "layers[1]: f", "tanh", (4,), "closure"),
        (7, "layers[2]", "affine", (1,), "exact"),
    ]
    assert found.values[4].note == "of layers[0]: f and layers[0]: C"
    assert (found.rows, found.single) == (5, False)
    # five covariances of four features, four bytes each
    assert (found.largest.name, found.bytes) == ("layers[1]: A", 5 * 4 * 4 * 4)
    assert str(found).startswith("numpy arrays on cpu, computed in float32, a batch of 5\n")
    assert str(found).endswith("largest: layers[1]: A, (4,), with a covariance of 320 bytes")


def test_a_covariance_of_megabytes():
    found = fm.describe([Affine(np.ones((1, 1024)))], np.zeros(1024))
    assert found.single
    assert str(found).endswith("largest: input, (1024,), with a covariance of 8 MB")


def test_the_first_activation_may_have_no_closed_form():
    layer = Residual(fm.Custom(np.arctan, tol=1e-8), np.eye(2))
    assert rows([layer, layer], np.zeros(2))[2::2] == [
        (2, "layers[0]: f", "Custom", (2,), "exact to 1e-08"),
        (4, "layers[1]: f", "Custom", (2,), "closure"),
    ]


@pytest.mark.feature("PyTorch", "networks: fm.describe")
def test_a_module_in_which_values_meet():
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Meets(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 4)

        def forward(self, x):
            y = self.inner(x)
            return torch.cat([torch.relu(y), y.tanh()], -1).sin() + 1.0

    found = fm.describe(Meets().eval(), torch.zeros(2, 3))
    ones = [value for value in found.values if value.note == "one of 2 together"]
    assert sorted((value.kind, value.moments) for value in ones) == [("ReLU", "exact"), ("Tanh", "exact to 1e-10")]
    assert len({value.step for value in ones}) == 1
    (joined,) = (value for value in found.values if value.name == "model: cat")
    assert (joined.shape, joined.note) == ((8,), "of model: relu and model: tanh")
    assert [value.moments for value in found.values if value.kind == "Sin"] == ["closure"]
    # the row of the module has its path
    assert any(value.name.startswith("inner: ") for value in found.values)


def test_behind_random_weights_nothing_is_gaussian():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(fm.nn.BayesLinear(3, 2), torch.nn.ReLU()).eval()
    assert [moments for *_, moments in rows(model, torch.zeros(1, 3))] == ["given", "exact", "closure"]


def test_a_covariance_tells_an_image_from_a_batch():
    torch = pytest.importorskip("torch")
    model = torch.nn.ReLU()
    assert fm.describe(model, torch.zeros(2, 3), torch.eye(6)).values[0].shape == (2, 3)
    assert fm.describe(model, torch.zeros(2, 3), torch.eye(3)).values[0].shape == (3,)
    assert fm.describe(model, torch.zeros(2, 3)).values[0].shape == (3,)
    normal = torch.distributions.MultivariateNormal(torch.zeros(3), torch.eye(3))
    assert fm.describe(model, normal).single


def test_several_inputs():
    torch = pytest.importorskip("torch")
    found = fm.describe(lambda x, y: x + y, (torch.zeros(2, 3), torch.zeros(2, 3)))
    assert [value.kind for value in found.values] == ["input", "input", "sum"]
    assert found.values[2].note == "of input 0 and input 1"


def test_what_propagate_refuses_is_refused():
    with pytest.raises(ValueError, match=r"layers\[0\]\.weight: expected shape \(m, 2\)"):
        fm.describe([Affine(np.eye(3))], np.zeros(2))
    with pytest.raises(TypeError, match="model: for NumPy arrays expected a list"):
        fm.describe(np.tanh, np.zeros(2))
