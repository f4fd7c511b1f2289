"""A function given to Custom has to return one real number per element, which depends on that element alone."""

import math

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.elementwise import gain

NOT_ELEMENTWISE = {
    "mean": lambda x: x - x.mean(),
    "mean of a row": lambda x: x - x.mean(axis=-1, keepdims=True),
    "ends": lambda x: x - x.min(),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(),
    "norm": lambda x: x / np.linalg.norm(x),
    "order": lambda x: x[..., ::-1],
    "sorted": lambda x: np.sort(x, axis=-1),
    "place": lambda x: x * np.arange(x.size).reshape(x.shape),
    "number": lambda x: x * x.size,
    "clipped": lambda x: np.clip(x, -x.std(), x.std()),
}
moments = {
    "marginals": lambda f: fm.marginals(f, 0.3, 1.0),
    "no variance": lambda f: fm.marginals(f, 0.3, 0.0),
    "moments": lambda f: fm.moments(f, [0.3, 0.1], np.eye(2)),
}


@pytest.mark.parametrize("call", moments)
@pytest.mark.parametrize("name", NOT_ELEMENTWISE)
def test_what_depends_on_other_elements(name, call):
    with pytest.raises(
        ValueError, match=r"function: expected f of every element by itself, .* numpy.vectorize\(f, otypes"
    ):
        moments[call](fm.Custom(NOT_ELEMENTWISE[name]))


def test_chance_and_memory():
    rng, calls = np.random.default_rng(0), []

    def remembers(x):
        calls.append(x)
        return x * len(calls)

    for f in (lambda x: x + rng.normal(size=x.shape), remembers):
        with pytest.raises(ValueError, match="function: expected f of every element by itself"):
            fm.marginals(fm.Custom(f), 0.3, 1.0)


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda x: x + 1j * x, TypeError, "function: expected real numbers, got complex ones; return their .real"),
        (np.emath.sqrt, TypeError, "function: expected real numbers, got complex ones"),
        (math.tanh, TypeError, r"function: expected one that takes float64 arrays.*numpy.vectorize\(f, otypes"),
        (lambda x: 1.0 if x > 0.0 else 0.0, TypeError, r"function: expected one that takes float64 arrays"),
        (lambda x: np.ma.masked_less(x, 0.0), TypeError, "function: masks are not taken into account; return"),
        (lambda x: "text", TypeError, "function: expected an array of real numbers, got str"),
        (lambda x: None, ValueError, r"function: expected one value per element, \(1, 13\), got \(\)"),
        (np.cumsum, ValueError, "function: expected one value per element"),
    ],
)
def test_what_is_no_array_of_real_numbers(f, error, message):
    with pytest.raises(error, match=message):
        fm.marginals(fm.Custom(f), 0.3, 1.0)


def test_what_is_elementwise_whatever_it_does_with_arrays():
    """Functions may change their argument, return a buffer of their own, loop over elements, or return nan."""
    kept = {}

    def in_place(x):
        return np.tanh(x, out=x)

    def in_a_buffer(x):
        return np.tanh(x, out=kept.setdefault(x.shape, np.empty(x.shape)))

    mu, var = np.array([0.3, -0.7, np.nan, 2.0]), np.array([1.0, 0.0, 1.0, 4.0])
    expected = fm.tanh_gain(mu, var)
    for f in (
        in_place,
        in_a_buffer,
        np.vectorize(math.tanh),
        np.frompyfunc(math.tanh, 1, 1),
        lambda x: list(np.tanh(x)),
    ):
        found = gain(fm.Custom(f), mu, var)
        # another tanh differs in its last bits
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    # half the nodes have no logarithm
    with pytest.raises(fm.ToleranceError):
        fm.marginals(fm.Custom(np.log), 0.0, 1.0)


def test_elsewhere_the_same_function_is_asked_for_the_same():
    torch = pytest.importorskip("torch")
    complex_ = fm.Custom(lambda x: x * 1j)
    with pytest.raises(TypeError, match="function: expected real numbers, got complex ones"):
        fm.nn.Activation(complex_)(torch.zeros(2))
    with pytest.raises(TypeError, match="function: expected real numbers, got complex ones"):
        fm.compare.monte_carlo([fm.compare.Residual(complex_, [[1.0]])], [0.0], [[1.0]], samples=64)
    with pytest.raises(ValueError, match="lipschitz: expected None or a number >= 0"):
        fm.Custom(np.tanh, lipschitz=np.ones(2))
