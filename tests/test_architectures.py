"""Networks as people write them, whole: means and covariances of all their outputs jointly, against samples."""

import pytest

torch = pytest.importorskip("torch")

from tests import architectures  # noqa: E402
from tests.architectures.run import propagated, samples_for, truth_of  # noqa: E402
from tests.sampled_moments import OF_COV, OF_MEAN, excess  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = architectures.cases()
del CASES["mc dropout"]  # whose masks are a large spread at any input: `test_closures.py`
# in float32 a mean has an error of some rounding errors of 6e-8, and a standard deviation of 1 / 100 of it
OF_MEAN_32 = 1e-3


# one of each kind; `make test-full` takes all
QUICK = (
    *architectures.of(architectures.ELEMENTWISE), "swiglu", "highway", "realnvp", "gmlp", "deeponet einsum",
    "se resnet", "mobilenet v3", "mnist", "alexnet", "maxout", "concat pool", "droq", "convnext",
    "rms norm by hand", "group norm cnn", "vit", "encoder", "cross attention", "timm block", "gpt2", "lstm",
    "gru cells", "tabnet", "mc head",
)  # fmt: skip


@pytest.mark.parametrize("more", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in CASES])
def test_moments_are_those_of_samples(name, more):
    case = CASES[name]
    truth = truth_of(case, more * samples_for(case))
    assert excess(*propagated(case), truth, OF_MEAN, OF_COV, len(CASES)) <= 1.0


FLOAT32 = (
    "surrogate",
    "siblings",
    "embedder",
    "elman",
    "cifar resnet",
    "unet nearest",
    "swiglu",
    "mnist",
    "encoder",
)


@pytest.mark.parametrize("name", FLOAT32)
def test_float32(name):
    case, single = CASES[name], architectures.cases()[name]
    found = propagated(single._replace(model=single.model.float()), torch.float32)
    assert excess(*found, truth_of(case), OF_MEAN_32, OF_COV, len(CASES)) <= 1.0
