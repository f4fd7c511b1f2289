"""Second derivatives by automatic differentiation where a formula's |x|, max, min, where or sorting meets a tie.

Values are smooth there: the two sides of such a kink are one function written in two ways. Two kinks at one tie
must take the same side, or their sum has the slope of neither. The derivative at a tie is judged by those around
it, which no kink touches.
"""

import numpy as np
import pytest
from mpmath import mp, mpf

from fastmoments_kernels.catalogue import row_of
from tests.conformance import BOUND, error
from tests.rows import names

torch = pytest.importorskip("torch")

# standardised means (h, k): equal, opposite, at 0, in the tails; of bumps, at the centre
MEANS = [(0.5, 0.5), (-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.0, 0.5), (0.5, 0.0), (0.0, -0.5), (-0.5, 0.0)]
MEANS += [(0.0, 0.0), (-3.0, -3.0), (3.0, 3.0), (3.0, -3.0), (-3.0, 3.0), (9.0, 9.0), (-9.0, -9.0), (9.0, -9.0)]
RHOS = (0.0, 0.3, -0.3, 0.8, -0.8, 0.97, -0.97, 0.999, -0.999, 0.99999, -0.99999)
# and k = rho h, where neuron 2 stands on its kink if neuron 1 is at 0
ON_A_LINE = [
    (2.0, 1.0, 0.5),
    (-2.0, 1.0, -0.5),
    (1.0, 2.0, 0.5),
    (2.0, -1.0, -0.5),
    (-2.0, -1.0, 0.5),
    (3.0, 0.9, 0.3),
]
POINTS = [(h, k, r) for h, k in MEANS for r in RHOS] + ON_A_LINE
PAIRS = np.array([(h * s, k, s * s, 1.0, r * s) for h, k, r in POINTS for s in (1.0, 0.5)])
NEURONS = np.unique(PAIRS[:, [0, 2]], axis=0)
OF_NEURON, OF_PAIR = ("gain", "mean_dvar", "var_partials"), ("cov_partials",)
PARAMETERS = {
    "leaky_relu": [0.1],
    "sin": [1.1, 0.3],
    "cos": [1.1, 0.3],
    "npn": [1.0, 2.0, 1.3, 0.5],
    "gaussian": [1.3, 0.0],
    "npn_linear": [0.5, 1.0, 2.0, 1.3, 0.0],
    "gaussian_mixture": [0.7, -0.4, 1.0, 2.0, 0.0, 0.5],
}
STEP = 3e-6


def by_torch(name, kind):
    from fastmoments_kernels.eager import on_torch

    own = [x for x in PARAMETERS.get(name, []) for _ in range(1 + (kind in OF_PAIR))]
    function = on_torch.function(name, kind, torch.float64)

    def slopes(points):
        inputs = [torch.tensor(x, requires_grad=True) for x in points.T]
        values = function(*inputs, *(torch.full_like(inputs[0], x) for x in own))
        rows = []
        for value in values if isinstance(values, tuple) else (values,):
            found = torch.autograd.grad(value.sum(), inputs, retain_graph=True, allow_unused=True)
            rows.append(np.stack([np.zeros(len(points)) if x is None else x.numpy() for x in found], -1))
        return np.stack(rows, 1)

    return slopes


def by_jax(name, kind):
    import jax

    from fastmoments_kernels.xla.functions import functions

    call = functions(name).elementwise(kind)
    own = [x for x in PARAMETERS.get(name, []) for _ in range(1 + (kind in OF_PAIR))]
    slack = [128 * np.finfo(float).eps] * (kind in OF_PAIR)
    stacked = lambda x: jax.numpy.stack(jax.tree.leaves(call(*x, *own, *slack)))  # noqa: E731
    function = jax.jit(jax.vmap(jax.jacrev(stacked)))
    return lambda points: np.asarray(function(points))


def assert_slopes_at_ties(slopes, points):
    rng = np.random.default_rng(0)
    moves = rng.normal(size=(3, *points.shape)) * STEP
    if points.shape[1] == 5:  # variances and cov_12 move little: near |rho| = 1 values change fast with them
        rho = points[:, 4] / np.sqrt(points[:, 2] * points[:, 3])
        moves[:, :, 2:4] *= 1e-3
        moves[:, :, 4] *= np.minimum(1.0, 1e-3 + 100 * (1 - np.abs(rho)))
    around = np.array([slopes(points + sign * move) for move in moves for sign in (1, -1)])
    middle = around.mean(0)
    # the change of the slopes within the moves, and their rounding
    allowed = 3 * np.abs(around - middle).max(0) + 1e-7 * (1e-3 + np.abs(middle))
    off = np.abs(slopes(points) - middle) - allowed
    worst = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
    assert off[worst] <= 0, (points[worst[0]], worst[1:], slopes(points)[worst], middle[worst])


@pytest.mark.parametrize("kind", [*OF_NEURON, *OF_PAIR])
@names
def test_derivatives_at_ties_by_torch(name, kind):
    assert_slopes_at_ties(by_torch(name, kind), PAIRS if kind in OF_PAIR else NEURONS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*OF_NEURON, *OF_PAIR])
@pytest.mark.parametrize("name", ["relu", "heaviside", "gaussian_mixture"])
def test_derivatives_at_ties_by_jax(name, kind):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        assert_slopes_at_ties(by_jax(name, kind), PAIRS if kind in OF_PAIR else NEURONS)


@pytest.mark.parametrize("name, kind", [("gaussian_mixture", "cov_partials"), ("gaussian_mixture", "var_partials")])
def test_bumps_centred_at_a_mean(name, kind):
    assert row_of(name)
    assert_slopes_at_ties(by_torch(name, kind), PAIRS if kind in OF_PAIR else NEURONS)


def test_a_step_that_a_mean_is_on():
    """d^2 Phi(mu / sd) / d mu d var = -phi(0) / (2 var^(3/2)) at mu = 0."""
    for var in (0.25, 1.0, 9.0):
        slopes = by_torch("heaviside", "mean_dvar")(np.array([[0.0, var]]))[0, 0]
        with mp.workdps(30):
            assert error(slopes[0], -mp.npdf(0) / (2 * mpf(var) ** 1.5), mpf(1.5), "float64") <= BOUND


def joint(weights, taus, centers, mu, var, cov):
    """E f'(X_1) f'(X_2) = d Cov(f(X_1), f(X_2)) / d cov of two equal neurons, and the sum of its terms' sizes."""
    total = size = mpf(0)
    for w, t, c in zip(weights, taus, centers, strict=True):
        for v, s, d in zip(weights, taus, centers, strict=True):
            a, b = 1 / t + var, 1 / s + var
            det = a * b - cov**2
            left, right = mu - c, mu - d
            y = (b * left - cov * right) / det, (a * right - cov * left) / det
            square = (b * left**2 - 2 * cov * left * right + a * right**2) / det
            term = w * v * mp.exp(-square / 2) / mp.sqrt(t * s * det) * (y[0] * y[1] + cov / det)
            total, size = total + term, size + abs(term)
    return total, size


def test_duplicates_of_a_mixture_whose_slopes_cancel():
    """E f' f' is the square of E f' plus a remainder; by components its error is 13 eps (1 + cond) in float32."""
    from fastmoments_kernels.eager import on_torch

    own = [(0.81287676, -0.76568973), (1.51767457, 1.54824769), (-0.03958309, 0.01415889)]
    own = [[float(np.float32(x)) for x in values] for values in own]
    mu, var = 4.666495323181152, 0.0014457530342042446
    inputs = (mu, mu, var, var, float(np.float32(var * (1 + 1e-7))))
    numbers = [x for values in own for value in values for x in (value, value)]
    arrays = [torch.tensor([x], dtype=torch.float32) for x in (*inputs, *numbers)]
    got = on_torch.function("gaussian_mixture", "cov_partials", torch.float32)(*arrays)[4].item()
    with mp.workdps(60):
        values = [mpf(x) for group in own for x in group] + [mpf(mu), mpf(var)]
        split = lambda x: (x[:2], x[2:4], x[4:6], x[6], x[7], x[7])  # noqa: E731  clipped to the variance
        truth, size = joint(*split(values))
        step, cond = mpf(10) ** -20, size / abs(truth)
        for i in range(len(values)):
            moved = [v * (1 + step) if i == j else v for j, v in enumerate(values)]
            cond += abs((joint(*split(moved))[0] - truth) / (step * truth))
        assert error(got, truth, cond, "float32") <= BOUND
