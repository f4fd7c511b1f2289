"""PyTorch tensors as arguments: errors, negated memory, classes of a user's own, options that are refused."""

import pytest

import fastmoments as fm
from tests.test_torch import gaussian

torch = pytest.importorskip("torch")


BAD = {
    "expected shapes that broadcast together, got mu (2,), var (3,)": lambda: fm.relu_mean(
        torch.zeros(2), torch.ones(3)
    ),
    "cov: expected shape (..., 2, 2) for mu of shape (2,)": lambda: fm.relu_moments(torch.zeros(2), torch.eye(3)),
    "mu: expected shape (..., n), got a scalar": lambda: fm.relu_moments(torch.tensor(0.0), torch.eye(1)),
    "cov: leading dimensions (4,)": lambda: fm.relu_moments(torch.zeros(3, 2), torch.zeros(4, 2, 2)),
    "var: it must hold variances >= 0, got -1.0 at (1,)": lambda: fm.relu_mean(
        torch.zeros(2), torch.tensor([1.0, -1.0])
    ),
    "cov: its diagonal must hold": lambda: fm.relu_moments(torch.zeros(2), -torch.eye(2)),
    "mean_bar: expected shape (2,), got (3,)": lambda: fm.relu_moments_vjp(
        torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(2)
    ),
    "cov: expected a symmetric matrix": lambda: fm.relu_moments(
        torch.zeros(2), torch.tensor([[1.0, 0.5], [0.4, 1.0]]), check=True
    ),
}


@pytest.mark.feature("PyTorch", "check=")
@pytest.mark.parametrize("message", BAD)
def test_errors_are_those_of_numpy(message):
    with pytest.raises(ValueError) as error:
        BAD[message]()
    assert message in str(error.value)


def test_negated_memory():
    """A tensor may have a bit that negates its numbers, as imaginary parts of conjugates have."""

    def negated(tensor):
        view = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
        assert view.is_neg() and torch.equal(view, tensor)
        return view

    mu, cov = gaussian(3)
    calls = [
        (fm.relu_marginals, (mu, cov.diagonal())),
        (fm.relu_moments, (mu, cov)),
        (fm.relu_moments_vjp, (mu, cov, mu, cov)),
        (fm.affine_moments, (mu, cov, cov, mu)),
        (lambda *x: fm.bayes_linear_marginals(*x, activation="relu"), (mu, mu * mu, cov, cov * cov)),
        (lambda *x: fm.nn.propagate(torch.nn.ReLU(), *x), (mu, cov)),
    ]
    for call, tensors in calls:
        for got, want in zip(call(*map(negated, tensors)), call(*tensors), strict=True):
            assert torch.equal(got, want)


class Labelled(torch.Tensor):
    """A class of a user's own."""


def test_a_tensor_of_any_class_is_one():
    mu, cov = torch.zeros(2), torch.eye(2) + 0.5
    own = mu.as_subclass(Labelled).requires_grad_()
    assert fm.plan(own).framework == "torch"
    found = fm.relu_moments(own, cov)
    assert all(torch.equal(x, y) for x, y in zip(found, fm.relu_moments(mu, cov), strict=True))
    found.mean.sum().backward()
    torch.testing.assert_close(own.grad, torch.full((2,), 0.5).as_subclass(Labelled))


@pytest.mark.feature("PyTorch", "out=, where=", "refused")
@pytest.mark.parametrize(
    "option", [{"out": torch.zeros(2)}, {"where": torch.ones(2) > 0}, {"dtype": torch.float64}]
)
def test_options_of_ufuncs_are_refused(option):
    with pytest.raises(TypeError, match=f"{next(iter(option))}: torch tensors are returned"):
        fm.relu_mean(torch.zeros(2), torch.ones(2), **option)
