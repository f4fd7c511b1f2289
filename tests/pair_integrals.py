"""Covariances of two functions of a Gaussian pair, and their derivatives, as integrals of the definition."""

from functools import cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import erf, ndtr

import fastmoments as fm


def bump(x, tau, center):
    return np.exp(-0.5 * tau * (x - center) ** 2)


# numbers of a few bits, which float32 holds too
FUNCTIONS = {
    "relu": (fm.ReLU(), lambda x: np.maximum(x, 0.0)),
    "leaky_relu": (fm.LeakyReLU(0.25), lambda x: np.where(x > 0.0, x, 0.25 * x)),
    "abs": (fm.Abs, np.abs),
    "heaviside": (fm.Heaviside(), lambda x: np.heaviside(x, 0.5)),
    "probit": ("probit", ndtr),
    "bernoulli_probit": (fm.BernoulliProbit(), ndtr),
    "erf": (fm.Erf(), erf),
    "gelu": (fm.GELU(), lambda x: x * ndtr(x)),
    "gaussian": (fm.Gaussian(1.5, 0.25), lambda x: bump(x, 1.5, 0.25)),
    "npn": (fm.NPN(0.25, 1.25, 0.75, -0.5), lambda x: 0.25 - 1.25 * bump(x, 0.75, -0.5)),
    "npn_linear": (
        fm.NPNLinear(0.625, 0.125, 1.25, 0.75, 0.25),
        lambda x: 0.625 * x + 0.375 * (0.125 - 1.25 * bump(x, 0.75, 0.25)),
    ),
    "gaussian_mixture": (
        fm.GaussianMixture((0.5, -0.25), (1.0, 2.0), (0.125, -0.5)),
        lambda x: 0.5 * bump(x, 1.0, 0.125) - 0.25 * bump(x, 2.0, -0.5),
    ),
    "sin": (fm.Sin(1.25, 0.5), lambda x: np.sin(1.25 * x + 0.5)),
    "cos": (fm.Cos(0.75, -0.25), lambda x: np.cos(0.75 * x - 0.25)),
    "tanh": ("tanh", np.tanh),
}
NAMES = list(FUNCTIONS)
NEAR_ONE = 1.0 - 2.0**-10
RHOS = np.array([-1.0, -NEAR_ONE, -0.5, 0.0, 2.0**-20, 0.5, 0.875, NEAR_ONE, 1.0])
# mu_1, mu_2, sd_1, sd_2; the tails are 6 standard deviations from the kink
POINTS = {"middle": (0.5, -0.25, 1.0, 1.5), "one tail": (-6.0, 0.5, 1.0, 0.5), "both tails": (9.0, -3.0, 1.5, 0.5)}
REACH = 12.0  # exp(-12^2 / 2) is 5e-32


def nodes(ends, count=24):
    """Gauss-Legendre nodes on panels between the ends, and weights times the normal density."""
    x, w = leggauss(count)
    ends = np.sort(np.clip(ends, -REACH, REACH), axis=-1)
    half = 0.5 * np.diff(ends)[..., None]
    z = ends[..., :-1, None] + half * (1.0 + x)
    weights = half * w * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return z.reshape(*ends.shape[:-1], -1), weights.reshape(*ends.shape[:-1], -1)


REGULAR = np.linspace(-REACH, REACH, 13)


def standard_pair(point, rho):
    """Nodes z of Z_1 and, for each, e of Z_2 = rho z + sqrt(1 - rho^2) e, split where X_1 or X_2 is 0."""
    mu_1, mu_2, sd_1, sd_2 = point
    left = np.sqrt((1.0 - rho) * (1.0 + rho))
    steep = (-mu_2 / sd_2 + left * np.linspace(-8.0, 8.0, 9)) / rho if rho else []
    z, w = nodes(np.concatenate([REGULAR, [-mu_1 / sd_1], steep]))
    if left == 0.0:
        return z, w, np.zeros((z.size, 1)), np.ones((z.size, 1))
    kink = (-mu_2 / sd_2 - rho * z) / left
    e, u = nodes(np.concatenate([np.broadcast_to(REGULAR[::2], (z.size, 7)), kink[:, None]], axis=1))
    return z, w, e, u


def centred(name, mu, x):
    """f - f(mu): where f is constant around mu, nothing is rounded."""
    f = FUNCTIONS[name][1]
    return f(x) - f(np.float64(mu))


@cache
def variances(point):
    """Var f(X_1) and Var g(X_2) of every function."""
    found = []
    for mu, sd in (point[::2], point[1::2]):
        z, w = nodes(np.append(REGULAR, -mu / sd))
        values = np.array([centred(name, mu, mu + sd * z) for name in NAMES])
        found.append(((values - (values @ w)[:, None]) ** 2) @ w)
    return found


@cache
def truth(point, rho):
    """Cov(f(X_1), g(X_2)) for every f and g: E of f - f(mu_1) times what E g(X_2) is given X_1, less its mean."""
    mu_1, mu_2, sd_1, sd_2 = point
    if rho == 0.0:
        return np.zeros((len(NAMES), len(NAMES)))
    z, w, e, u = standard_pair(point, rho)
    x = mu_2 + sd_2 * (rho * z[:, None] + np.sqrt((1.0 - rho) * (1.0 + rho)) * e)
    given = np.array([np.einsum("ij,ij->i", u, centred(name, mu_2, x)) for name in NAMES])
    f = np.array([centred(name, mu_1, mu_1 + sd_1 * z) for name in NAMES])
    return (f * w) @ (given - (given @ w)[:, None]).T


def arguments(point, rho, dtype=np.float64):
    mu_1, mu_2, sd_1, sd_2 = (dtype(x) for x in point)
    return mu_1, mu_2, sd_1 * sd_1, sd_2 * sd_2, (rho * sd_1 * sd_2).astype(dtype)


def exact_derivatives(one, two, point, rho):
    """Derivatives along mu_1, mu_2, var_1, var_2, cov_12: covariances times the scores of the density."""
    mu_1, mu_2, sd_1, sd_2 = point
    z, w, e, u = standard_pair(point, rho)
    inner = rho * z[:, None] + np.sqrt((1.0 - rho) * (1.0 + rho)) * e
    density, z = w[:, None] * u, np.broadcast_to(z[:, None], e.shape)
    f, g = centred(one, mu_1, mu_1 + sd_1 * z), centred(two, mu_2, mu_2 + sd_2 * inner)
    precision = np.linalg.inv([[sd_1**2, rho * sd_1 * sd_2], [rho * sd_1 * sd_2, sd_2**2]])
    a, b = np.einsum("ij,j...->i...", precision, np.array([sd_1 * z, sd_2 * inner]))
    scores = [a, b, *(0.5 * (s * s - precision[i, i]) for i, s in enumerate((a, b))), a * b - precision[0, 1]]

    def mean(values):
        return np.sum(density * values)

    return [mean(f * g * s) - mean(f * s) * mean(g) - mean(f) * mean(g * s) for s in scores]
