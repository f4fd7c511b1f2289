"""The closure's error of whole networks at an input sd of 1 is at most the recorded one, up to sampling noise."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import architectures  # noqa: E402
from tests.architectures.run import distribution, propagated, truth_of  # noqa: E402
from tests.closures import SD, Closure, closure, judged, of_jax, recorded  # noqa: E402
from tests.sampled_moments import Sampled  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = {name: case._replace(sd=SD) for name, case in architectures.cases().items()}
# one of each kind; `make test-full` takes all
QUICK = (
    "nerf", "fast kan", "dueling", "tcn", "mixer", "cifar resnet", "unet nearest", "mobilenet v2", "swiglu",
    "realnvp", "efficientnet", "mnist", "maxout", "droq", "vit", "encoder", "gpt2", "lstm", "probabilities",
    "mc dropout",
)  # fmt: skip


@pytest.mark.parametrize("count", [2**13, pytest.param(2**16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in CASES])
def test_no_error_is_larger_than_the_recorded(name, count):
    assert judged(name, *propagated(CASES[name]), truth_of(CASES[name], count), len(CASES)) <= 1.0


def test_every_record_is_of_a_network():
    assert {name for name in recorded() if not name.startswith(of_jax(""))} <= CASES.keys()


@pytest.mark.parametrize("name", ["nice chunked", "mixer", "lenet", "mobilenet v2"])
def test_the_network_made_linear_at_the_mean_is_further_off(name):
    truth = truth_of(CASES[name], 2**13)
    mu, cov = distribution(CASES[name])
    linear = truth_of(CASES[name], 2**13, given=(mu, 1e-18 * cov))
    assert judged(name, linear.mean, truth.cov, truth, len(CASES)) > 2.0
    assert judged(name, truth.mean, 1e18 * linear.cov, truth, len(CASES)) > 2.0


def test_the_errors_of_a_closure():
    """By hand; the third output is known."""
    noise = 0.1 * np.ones((3, 3))
    truth = Sampled(np.array([1.0, 2.0, 3.0]), np.diag([4.0, 1.0, 0.0]), np.array([0.2, 0.3, 0.0]), noise)
    cov = np.array([[4.4, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(closure(np.array([1.5, 2.1, 3.0]), cov, truth), Closure(0.25, 0.3, 0.3, 0.1))
