"""Functions of JAX, whole: means and covariances of all their outputs jointly, against samples."""

import pytest

pytest.importorskip("jax")

from tests.architectures_jax import CASES  # noqa: E402
from tests.architectures_jax.run import propagated, truth_of  # noqa: E402
from tests.closures import SD, judged, of_jax  # noqa: E402
from tests.sampled_moments import OF_COV, OF_MEAN, excess  # noqa: E402

pytestmark = pytest.mark.usefixtures("jax_double_precision")
# XLA compiles for seconds a function: `make test` takes one of each kind
QUICK = ("pinn", "nerf", "resnet", "named", "equinox", "swiglu")
OF_LIBRARIES = {"equinox": "equinox", "gru scan": "equinox", "encoder": "equinox"} | dict.fromkeys(
    ("flax", "unet", "vit"), "flax"
)


def needs(name):
    if name in OF_LIBRARIES:
        pytest.importorskip(OF_LIBRARIES[name])


@pytest.mark.parametrize("name", [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in CASES])
def test_moments_are_those_of_samples(name):
    needs(name)
    case = CASES[name]
    assert excess(*propagated(case), truth_of(case), OF_MEAN, OF_COV, len(CASES)) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_closure_error_is_larger_than_the_recorded(name):
    needs(name)
    case = CASES[name]._replace(sd=SD)
    assert judged(of_jax(name), *propagated(case), truth_of(case), len(CASES)) <= 1.0
