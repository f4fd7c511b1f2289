"""Every operation of ATen that has a rule, alone: affine ones are their Jacobian, activations by samples."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastmoments as fm  # noqa: E402
from fastmoments.graph.frontends.torch import NAMES  # noqa: E402
from fastmoments.graph.frontends.torch_affine import SCALED_ELSEWHERE  # noqa: E402
from fastmoments.graph.frontends.torch_model import Model, run_of  # noqa: E402
from tests.network_cases import gaussian  # noqa: E402
from tests.operation_cases import AFFINE, ELEMENTWISE, JOINT, VECTOR  # noqa: E402
from tests.sampled_moments import excess, sampled  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
EXACT = dict(rtol=1e-12, atol=1e-12)  # some ten products of numbers of order one
# quadrature is right to 1e-10 of the spread, a few times where functions are scaled
OF_QUADRATURE = 1e-9


def jacobian_of(function, shape):
    """An affine function as a matrix (m, n) and a vector (m,), by the automatic derivative of one input."""
    function = getattr(function, "__wrapped__", function)  # inference mode has no derivatives
    x = torch.zeros(1, *shape, dtype=torch.float64)
    matrix = torch.autograd.functional.jacobian(lambda y: function(y.clone()).reshape(-1), x)
    return matrix.reshape(len(matrix), -1).numpy(), function(x).reshape(-1).numpy()


@pytest.mark.parametrize("name", AFFINE)
def test_affine_operations_are_their_matrices(name):
    function, shape = AFFINE[name]
    (mu, cov), (matrix, constant) = gaussian(shape), jacobian_of(function, shape)
    if name == "detach":  # of which there is no derivative
        matrix = np.eye(len(matrix))
    batch = torch.stack([mu, 2.0 * mu + 1.0])
    mean, full = fm.nn.propagate(function, batch, torch.stack([cov, 0.5 * cov]))
    assert mean.shape == function(batch.clone()).shape
    for k, scale in enumerate((1.0, 0.5)):
        found = mean[k].reshape(-1)
        np.testing.assert_allclose(found, matrix @ batch[k].reshape(-1).numpy() + constant, **EXACT)
        np.testing.assert_allclose(full[k], scale * matrix @ cov.numpy() @ matrix.T, **EXACT)
    assert torch.equal(full, full.mT)


# Functions of several operations, whose intermediate values share elements
SEVERAL = ("overlay", "copy", "convolution", "sub", "add", "rsub", "bmm", "_unsafe_view", "filled", "slice_scatter")


@pytest.mark.parametrize("name", [name for name in AFFINE if name not in SEVERAL])
def test_variances_are_those_of_squared_weights(name):
    function, shape = AFFINE[name]
    (mu, cov), (matrix, _) = gaussian(shape), jacobian_of(function, shape)
    var = torch.diag(cov).reshape(1, *shape)
    if name == "detach":
        matrix = np.eye(len(matrix))
    found = fm.nn.propagate(function, mu[None], var, "diagonal").var.reshape(-1)
    np.testing.assert_allclose(found, (matrix * matrix) @ var.reshape(-1).numpy(), **EXACT)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operations_by_samples(name):
    function, (mu, cov) = ELEMENTWISE[name], gaussian(VECTOR)
    mu, cov = 0.3 * mu, 0.2 * cov
    mean, full = fm.nn.propagate(function, mu, cov)
    truth = sampled(lambda x: function(torch.from_numpy(x)).numpy(), mu.numpy(), cov.numpy(), 2**15)
    assert excess(mean.numpy(), full.numpy(), truth, OF_QUADRATURE, OF_QUADRATURE, len(ELEMENTWISE)) <= 1.0


@pytest.mark.parametrize("name", JOINT)
def test_joint_operations_by_samples(name):
    function, shape, closure = JOINT[name]
    mu, cov = gaussian(shape)
    mu, cov = 0.5 * mu, 0.05 * cov
    mean, full = fm.nn.propagate(function, mu[None], cov[None])
    assert mean.shape == function(mu[None]).shape

    def network(x):
        return function(torch.from_numpy(x).reshape(-1, *shape)).reshape(len(x), -1).numpy()

    truth = sampled(network, mu.reshape(-1).numpy(), cov.numpy(), 2**15)
    assert excess(mean.reshape(-1).numpy(), full[0].numpy(), truth, closure, closure, len(JOINT)) <= 1.0


def test_every_operation_with_a_rule_has_a_case():
    """Rules of operations that never come from PyTorch would be dead."""
    seen = set()
    joint = [case[:2] for case in JOINT.values()]
    for function, shape in (*AFFINE.values(), *((f, VECTOR) for f in ELEMENTWISE.values()), *joint):
        x = torch.randn(3, *shape, dtype=torch.float64)
        entries = run_of(Model(function, lambda arrays: (arrays, {}), {}, NAMES, False), [x]).entries
        seen |= {entry.name for entry in entries if entry.depends}
    missing = NAMES - seen - set(SCALED_ELSEWHERE)
    assert not missing, missing
