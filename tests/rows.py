"""The activations of a test: all in the slow tests, a few of each kind in `make test`."""

from functools import partial

import pytest

import fastmoments as fm
from fastmoments.parameters import of_neurons
from fastmoments_kernels.catalogue import CATALOGUE, row_of

# A kink, a jump, and a closed form with parameters.
QUICK = ("relu", "heaviside", "npn")
# One of each family of formulas. The others share almost all of theirs with one of these, which compiling does not
# know: on the cpu `make test` judges these, and the formulas of all on NumPy.
FAMILIES = (*QUICK, "gelu", "probit", "cos")


def _parameters(quick):
    marks = {row.name: [] if row.name in quick else pytest.mark.slow for row in CATALOGUE}
    return [pytest.param(row, marks=marks[row.name], id=row.name) for row in CATALOGUE]


_marked = _parameters(QUICK)
activations = pytest.mark.parametrize("row", _marked)
names = pytest.mark.parametrize(
    "name", [pytest.param(case.values[0].name, marks=case.marks, id=case.id) for case in _marked]
)
# for tests of a framework's way to the kernels, which is the same for every activation: one with parameters
one_name = pytest.mark.parametrize(
    "name",
    [pytest.param(row.name, marks=[] if row.name == "npn" else pytest.mark.slow, id=row.name) for row in CATALOGUE],
)
families = pytest.mark.parametrize("row", _parameters(FAMILIES))

# parameters for activations without defaults
EXAMPLES = {"gaussian_mixture": {"weights": [0.5, 1.5], "taus": [1.0, 2.0], "centers": [0.0, 1.0]}}


def function(name, kind):
    """The public function of an activation."""
    return partial(getattr(fm, f"{name}_{kind}"), **EXAMPLES.get(name, {}))


def numbers(name):
    """One neuron's parameters as the kernels take them, as numbers."""
    activation = row_of(name).activation(**EXAMPLES.get(name, {}))
    return list(of_neurons(activation)[1].values())
