"""Derivatives of the bivariate normal distribution function and its log: in closed form, by autograd and by JAX.

The limits are equal, opposite, infinite, far out, or perfectly correlated.
"""

from functools import cache

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from fastmoments_kernels.eager import on_torch
from tests import truth
from tests.conformance import BOUND, DTYPES, error

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

# exact in float32; ties of either sign of rho, a limit at 0, tails, nearly perfect correlation
POINTS = [
    (-1.0, -1.0, 0.5),
    (3.0, -3.0, -0.875),
    (-2.0, -2.0, -0.25),
    (0.0, 0.0, 0.5),
    (0.0, 0.0, -0.5),
    (1.5, 1.5, 0.9990234375),
    (-1.5, -1.5, 0.9990234375),
    (0.75, -0.75, -0.9990234375),
    (-5.0, -4.0, -0.75),
    (-7.0, 1.0, 0.25),
    (0.0, -2.0, 0.5),
    (2.0, 3.0, -0.5),
    (-1.0, 1.0, 0.5),
    (-6.0, -6.0, 0.0),
    (-0.5, 0.25, 0.0),
]
# points that the truth cannot integrate: P is a product, or of one variable, or known to 17 digits otherwise
FAR = [(-301.75, 1.125, 0.0), (-3333.25, 1.125, 0.0), (1.25, -300.5, 0.0)]
KNOWN = {(-100.0, -100.0, 0.5): ("66.676662172728642", "66.676662172728642", "4446.4435458362744")}
PERFECT = [(-3.0, -2.0, 1.0), (-2.0, -3.0, 1.0), (-3.0, 4.0, -1.0), (1.0, 0.5, 1.0), (2.0, 1.0, -1.0)]


def cdf_slopes(h, k, rho):
    """(dP/dh, dP/dk, dP/drho) by the definition; at |rho| = 1 as the limits are apart."""
    h, k, rho = map(mpf, (h, k, rho))
    if abs(rho) == 1:
        seen = lambda gap: mpf(1) if gap > 0 else mpf(0)  # noqa: E731
        return mp.npdf(h) * seen(k - rho * h), mp.npdf(k) * seen(h - rho * k), mpf(0)
    t = mp.sqrt((1 - rho) * (1 + rho))
    by_h, by_k = (mp.npdf(x) * mp.ncdf((y - rho * x) / t) for x, y in ((h, k), (k, h)))
    return by_h, by_k, mp.npdf(h) * mp.npdf((k - rho * h) / t) / t


def probability(h, k, rho):
    if rho == 0.0:
        return mp.ncdf(mpf(h)) * mp.ncdf(mpf(k))
    if rho == 1.0:
        return mp.ncdf(mpf(min(h, k)))
    if rho == -1.0:
        return mp.ncdf(mpf(h)) - mp.ncdf(-mpf(k))
    return truth.bivariate_cdf(h, k, rho).value


def bends(point, slopes):
    """The second derivatives from those of the density: rows d slope / d(h, k, rho)."""
    h, k, rho = map(mpf, point)
    square = (1 - rho) * (1 + rho)
    if square == 0:
        lean_h = lean_k = turn = mpf(0)
    else:
        lean_h, lean_k = (h - rho * k) / square, (k - rho * h) / square
        turn = rho / square + lean_h * lean_k
    by_h, by_k, by_rho = slopes
    return [
        [-h * by_h - rho * by_rho, by_rho, -lean_h * by_rho],
        [by_rho, -k * by_k - rho * by_rho, -lean_k * by_rho],
        [-lean_h * by_rho, -lean_k * by_rho, turn * by_rho],
    ]


@cache
def log_truth(point):
    """(slopes of log P, their condition numbers, second derivatives of log P, the sizes of their terms)."""
    with mp.workdps(60):
        if point in KNOWN:
            slopes = [mpf(x) for x in KNOWN[point]]
        else:
            p = probability(*point)
            slopes = [x / p for x in cdf_slopes(*point)]
        rows = bends(point, slopes)
        second = [[rows[i][j] - slopes[i] * slopes[j] for j in range(3)] for i in range(3)]
        sizes = [[abs(rows[i][j]) + abs(slopes[i] * slopes[j]) for j in range(3)] for i in range(3)]
        sizes = [
            [s + 2 * abs(point[i] * slopes[i]) * (i == j) for j, s in enumerate(row)] for i, row in enumerate(sizes)
        ]
        conds = [sum(abs(x * d) for x, d in zip(point, row, strict=True)) for row in second]
        conds = [cond / abs(slope) if slope else mpf(1) for cond, slope in zip(conds, slopes, strict=True)]
        return slopes, conds, second, sizes


def by_torch(function, dtype, points):
    inputs = [torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True) for x in zip(*points, strict=True)]
    return torch.autograd.grad(function(*inputs).sum(), inputs)


def by_forward_mode(function, dtype, points):
    inputs = [torch.tensor(x, dtype=getattr(torch, dtype)) for x in zip(*points, strict=True)]
    along = [[torch.full_like(x, float(i == j)) for j, x in enumerate(inputs)] for i in range(3)]
    return [torch.func.jvp(function, tuple(inputs), tuple(tangents))[1] for tangents in along]


def by_jax(function, dtype, points):
    with jax.enable_x64(True):
        inputs = [jax.numpy.array(x, dtype) for x in zip(*points, strict=True)]
        gradients = jax.jit(jax.grad(lambda *x: function(*x).sum(), argnums=(0, 1, 2)))(*inputs)
        return [np.asarray(x) for x in gradients]


def in_closed_form(function, dtype, points):
    assert function is fm.log_bivariate_normal_cdf
    return fm.log_bivariate_normal_cdf_partials(*np.array(points, dtype).T)


def by_torch_operations(function, dtype, points):
    assert function is fm.log_bivariate_normal_cdf
    inputs = [torch.tensor(x, dtype=getattr(torch, dtype)) for x in zip(*points, strict=True)]
    return on_torch.function(None, "log_bivariate_normal_cdf_partials", inputs[0].dtype)(*inputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("route", [in_closed_form, by_torch, by_torch_operations, by_forward_mode, by_jax])
def test_gradient_of_the_log(route, dtype):
    points = [*POINTS, *FAR, *KNOWN, *PERFECT]
    found = np.array([np.asarray(x) for x in route(fm.log_bivariate_normal_cdf, dtype, points)]).T
    for point, got in zip(points, found, strict=True):
        slopes, conds, _, _ = log_truth(point)
        for number, slope, cond in zip(got, slopes, conds, strict=True):
            assert error(number, slope, cond, dtype) <= BOUND, (point, got, [mp.nstr(x, 17) for x in slopes])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("route", [by_torch, by_jax])
def test_gradient_of_the_cdf_at_perfect_correlation_and_infinite_limits(route, dtype):
    inf = float("inf")
    infinite = [
        (inf, 1.0, 0.25),
        (1.0, inf, 0.25),
        (-inf, 0.0, 0.25),
        (inf, inf, 0.5),
        (1e7, 0.0, 0.5),
        (inf, -1.0, 1.0),
    ]
    found = np.array([np.asarray(x) for x in route(fm.bivariate_normal_cdf, dtype, [*PERFECT, *infinite])]).T
    with mp.workdps(40):
        phi = [mp.npdf(1), mp.npdf(0)]
        expected = [cdf_slopes(*point) for point in PERFECT]
        expected += [(0, phi[0], 0), (phi[0], 0, 0), (0, 0, 0), (0, 0, 0), (0, phi[1], 0), (0, phi[0], 0)]
    for point, got, want in zip([*PERFECT, *infinite], found, expected, strict=True):
        for number, slope in zip(got, want, strict=True):
            # cond: the squares of the limits
            assert error(number, mpf(slope), mpf(20), dtype) <= BOUND, (point, got)


@pytest.mark.parametrize("limits, dtype", [((-3.3333e7, 1.1), "float64"), ((-301.7, 1.1), "float32")])
def test_slope_along_no_correlation_does_not_lose_the_square_of_a_limit(limits, dtype):
    h, k = (np.dtype(dtype).type(x) for x in limits)
    with mp.workdps(60):
        x = -mpf(float(h))
        mills = sum((-1) ** j * mp.fac2(2 * j - 1) / x ** (2 * j + 1) for j in range(12))  # to 20 digits at 300
        slope = mp.npdf(mpf(float(k))) / mp.ncdf(mpf(float(k))) / mills
    found = fm.log_bivariate_normal_cdf_partials(h, k, h.dtype.type(0)).d_rho
    assert error(found, slope, mpf(4), dtype) <= BOUND


# (h, k, rho) with k so far above rho h that P = Phi(h) to rounding: d log P / dh = phi(h) / Phi(h) = 1 / R_0(-h)
ABOVE = [
    (-1e8, -1e7, 0.25),
    (-1000.0, -200.0, 0.25),
    (-100.0, -32.0, 0.5),
    (-1e4, -4500.0, 0.5),
    (-1e7, -1e6, 0.25),
]
ABOVE += [(-1e6, -490000.0, 0.5), (-1e8, 0.0, 0.5), (-1e30, 0.0, 0.5)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("route", [in_closed_form, by_torch_operations])
def test_slope_far_out_where_the_other_limit_hardly_counts(route, dtype):
    found = route(fm.log_bivariate_normal_cdf, dtype, ABOVE)[0]
    for (h, _, _), got in zip(ABOVE, found, strict=True):
        x = -mpf(float(np.dtype(dtype).type(h)))
        with mp.workdps(60):
            mills = sum((-1) ** j * mp.fac2(2 * j - 1) / x ** (2 * j + 1) for j in range(12))
            assert error(float(got), 1 / mills, mpf(1), dtype) <= BOUND, (h, got)


def test_logarithm_in_float32_where_the_integral_is_narrower_than_its_ends_are_rounded():
    """-log P is half the least value of the quadratic form, plus a logarithm, which is less than 60 here."""
    points = [(-1e5, -1e5, 0.5), (-1e4, -1e4, -0.75), (-3000.0, -3000.0, -0.75), (-1e6, -3e5, 0.5)]
    inputs = [torch.tensor(x, dtype=torch.float32) for x in zip(*points, strict=True)]
    found = on_torch.function(None, "log_bivariate_normal_cdf", torch.float32)(*inputs)
    for (h, k, rho), got in zip(points, found.tolist(), strict=True):
        least = (h * h - 2 * rho * h * k + k * k) / (1 - rho**2) if k < rho * h else h * h
        # cond: 2 along each limit, and up to 8 along the correlation
        assert abs(got + least / 2) <= 12 * BOUND * np.finfo(np.float32).eps * least / 2 + 60


def test_the_log_has_no_slope_where_the_probability_is_0():
    inf = np.inf
    h, k, rho = np.array([[-inf, 1.0, 0.3], [1.0, -1.0, -1.0], [-inf, inf, 0.0]]).T
    assert np.isnan(fm.log_bivariate_normal_cdf_partials(h, k, rho)).all()
    assert fm.log_bivariate_normal_cdf_partials(inf, 0.0, 0.3).d_h == 0.0


def assert_hessians(found, dtype):
    for point, got in zip(POINTS, found, strict=True):
        _, conds, second, sizes = log_truth(point)
        for i in range(3):
            for j in range(3):
                # made of first derivatives, each with 8 eps (1 + cond) of its own
                allowed = 4 * BOUND * np.finfo(dtype).eps * (1 + max(conds)) * sizes[i][j]
                assert abs(mpf(float(got[i][j])) - second[i][j]) <= allowed, (point, i, j, got[i][j])


def test_hessian_by_torch():
    hessian = torch.func.vmap(torch.func.hessian(lambda x: fm.log_bivariate_normal_cdf(x[0], x[1], x[2])))
    assert_hessians(hessian(torch.tensor(POINTS, dtype=torch.float64)).numpy(), "float64")
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    slopes = torch.autograd.grad(fm.log_bivariate_normal_cdf(*x.T).sum(), x, create_graph=True)[0]
    rows = [torch.autograd.grad(slopes[:, i].sum(), x, retain_graph=True)[0] for i in range(3)]
    assert_hessians(torch.stack(rows, 1).numpy(), "float64")


@pytest.mark.slow
def test_hessian_by_jax():
    with jax.enable_x64(True):
        function = jax.jit(jax.vmap(jax.hessian(lambda x: fm.log_bivariate_normal_cdf(x[0], x[1], x[2]))))
        assert_hessians(np.asarray(function(jax.numpy.array(POINTS))), "float64")
