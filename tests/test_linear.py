"""The fused layer with Gaussian weights on the CPU, against the definition in more digits, at ragged sizes."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels.cpu import elementwise, layers, linear_marginals
from tests.rows import activations, numbers

# (rows, depth, columns): one of each, less than a vector, ragged in all, several panels, several chunks of rows
SHAPES = ((1, 1, 1), (5, 3, 2), (13, 7, 17), (11, 16, 33), (200, 5, 40), (100, 70, 64))
DTYPES = ("float32", "float64")


def draw(shape, dtype, seed=0):
    (rows, depth, columns), rng = shape, np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, depth)), rng.uniform(0, 1, (rows, depth))
    weights = rng.normal(size=(columns, depth)), rng.uniform(0, 0.3, (columns, depth))
    biases = rng.normal(size=columns), rng.uniform(0, 1, columns)
    return tuple(tuple(x.astype(dtype) for x in pair) for pair in (inputs, weights, biases))


def evaluate(activation, inputs, weights, biases, parameters=()):
    outputs = tuple(np.full((len(inputs[0]), len(weights[0])), np.nan, inputs[0].dtype) for _ in range(2))
    assert linear_marginals(activation, inputs, weights, biases, outputs, parameters) == 0
    return outputs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_the_definition(shape, dtype):
    inputs, weights, biases = draw(shape, dtype)
    mean, var = evaluate(None, inputs, weights, biases)
    mu, var_in, M, V, b, c = (x.astype(np.longdouble) for pair in (inputs, weights, biases) for x in pair)
    # a sum of n rounded terms is off by at most n half units of the sum of their sizes
    eps, depth = np.finfo(dtype).eps, shape[1]
    assert np.all(np.abs(mean - (mu @ M.T + b)) <= (depth + 1) * eps / 2 * (np.abs(mu) @ np.abs(M.T) + np.abs(b)))
    wanted = var_in @ (M * M + V).T + (mu * mu) @ V.T + c
    assert np.all(np.abs(var - wanted) <= (2 * depth + 3) * eps / 2 * wanted)
    bare = evaluate(None, inputs, weights, (None, None))
    zeros = tuple(np.zeros_like(x) for x in biases)
    for got, want in zip(bare, evaluate(None, inputs, weights, zeros), strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@activations
def test_the_activation_is_the_ufunc(row, dtype):
    """The activation gives the ufunc's bits on the sums; the tables judge the ufuncs."""
    own = tuple(np.asarray(number, dtype) for number in numbers(row.name))
    for shape in ((13, 7, 17), (100, 3, 40)):
        given = draw(shape, dtype)
        # columns differ in their parameters
        parameters = tuple((number * np.linspace(0.5, 1.5, shape[2])).astype(dtype) for number in own)
        sums = evaluate(None, *given)
        wanted = elementwise(row.name, "marginals", 2 + len(own))(*sums, *parameters)
        for got, want in zip(evaluate(row.name, *given, parameters), wanted, strict=True):
            assert np.array_equal(got, want)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_have_the_same_bits(threads, monkeypatch):
    given = draw((700, 5, 33), "float32")
    wanted = evaluate("npn", *given, tuple(np.full(33, x, "float32") for x in numbers("npn")))
    monkeypatch.setattr(layers, "SMALL", 0)
    monkeypatch.setattr("fastmoments_kernels.threads._threads", threads)
    for got, want in zip(
        evaluate("npn", *given, tuple(np.full(33, x, "float32") for x in numbers("npn"))), wanted, strict=True
    ):
        assert np.array_equal(got, want)


def flat(pairs):
    return [x for pair in pairs for x in pair]


def test_layouts_and_inputs_stay():
    arguments = flat(draw((12, 7, 17), "float32"))
    wanted = fm.bayes_linear_marginals(*arguments, activation="npn")
    before = [x.copy() for x in arguments]
    doubled = [np.repeat(x, 2, axis=-1)[..., ::2] for x in arguments]
    reverse = [np.ascontiguousarray(x[::-1])[::-1] for x in arguments]
    fortran = [np.asfortranarray(x) for x in arguments]
    for x in arguments:
        x.flags.writeable = False
    for given in (arguments, doubled, reverse, fortran):
        for got, want in zip(fm.bayes_linear_marginals(*given, activation="npn"), wanted, strict=True):
            assert got.dtype == np.float32 and np.array_equal(got, want)
    assert all(map(np.array_equal, arguments, before))
    mu, var, *others = arguments
    for lead in ((3, 4), (2, 1, 6)):
        found = fm.bayes_linear_marginals(mu.reshape(*lead, 7), var.reshape(*lead, 7), *others, activation="npn")
        for got, want in zip(found, wanted, strict=True):
            assert np.array_equal(got, want.reshape(*lead, 17))
    constant = np.broadcast_to(np.float32(0.5), mu.shape)
    for got, want in zip(
        fm.bayes_linear_marginals(mu, constant, *others),
        fm.bayes_linear_marginals(mu, constant.copy(), *others),
        strict=True,
    ):
        assert np.array_equal(got, want)
    for empty in ((0, 7), (2, 0, 7)):
        found = fm.bayes_linear_marginals(np.zeros(empty, "float32"), np.zeros(empty, "float32"), *others)
        assert all(x.shape == (*empty[:-1], 17) for x in found)


def test_parameters_and_errors():
    mu, var, *others = flat(draw((4, 3, 2), "float64"))
    tau = np.array([0.5, 2.0])
    sums = fm.bayes_linear_marginals(mu, var, *others)
    for activation in (fm.NPN(tau=tau), fm.NPN(tau=np.tile(tau, (4, 1)))):
        found = fm.bayes_linear_marginals(mu, var, *others, activation=activation)
        np.testing.assert_allclose(found, fm.npn_marginals(*sums, tau=tau), rtol=64 * np.finfo(float).eps)
    with pytest.raises(ValueError, match=r"tau: expected a number or one per neuron, shape \(2,\), got \(3,\)"):
        fm.bayes_linear_marginals(mu, var, *others, activation=fm.NPN(tau=np.ones(3)))
    var[2, 1] = -1.0
    with pytest.raises(ValueError, match=r"var: it must hold variances >= 0, got -1.0 at \(2, 1\)"):
        fm.bayes_linear_marginals(mu, var, *others)
    var[2, 1] = np.nan
    found = fm.bayes_linear_marginals(mu, var, *others, activation="npn")
    assert np.array_equal(np.isnan(found.var).any(-1), [False, False, True, False])


def test_tensors_are_arrays():
    """The kernel works on the tensors' memory; inputs that need gradients take the differentiable operations."""
    torch = pytest.importorskip("torch")
    arguments = flat(draw((12, 7, 17), "float32"))
    wanted = fm.bayes_linear_marginals(*arguments, activation="npn")
    tensors = [torch.from_numpy(x) for x in arguments]
    tensors[2].requires_grad_()
    with torch.no_grad():
        bare = fm.bayes_linear_marginals(*tensors, activation="npn")
    tracked = fm.bayes_linear_marginals(*tensors, activation="npn")
    compiled = torch.compile(
        lambda *x: fm.bayes_linear_marginals(*x, activation="npn").mean, backend="eager", fullgraph=True
    )
    assert torch.equal(compiled(*tensors), tracked.mean)
    assert tracked.mean.grad_fn is not None and bare.mean.grad_fn is None
    for got, with_gradient, want in zip(bare, tracked, wanted, strict=True):
        assert got.dtype == torch.float32 and np.array_equal(got.numpy(), want)
        # sums in another order, through an activation of slope below 3
        np.testing.assert_allclose(with_gradient.detach().numpy(), want, rtol=0, atol=64 * np.finfo("float32").eps)
