"""Moments of X / sqrt(mean(X^2) + eps) by other ways than the code's: mpmath, and quadrature of the definition."""

import functools

import numpy as np
from mpmath import mp


def as_floats(*values):
    return tuple(np.array(value.tolist() if hasattr(value, "tolist") else value, dtype=float) for value in values)


def of_one(mu, var, eps):
    """Mean, variance and slope for n = 1 by integrals of the definition, in double precision: 1e-15."""
    sd, width = np.sqrt(var), np.sqrt(eps)
    # the function turns within a few sqrt(eps) of 0
    turns = width * 10.0 ** np.arange(-1.0, 6.0)
    ends = np.concatenate([mu + sd * np.arange(-12.0, 13.0), [0.0], turns, -turns])
    x, weights = _panels(np.unique(ends[np.abs(ends - mu) <= 12.0 * sd]), 48)
    weights = weights * np.exp(-0.5 * ((x - mu) / sd) ** 2) / (sd * np.sqrt(2.0 * np.pi))
    y = x / np.sqrt(x * x + eps)
    mean = weights @ y
    return mean, weights @ (y - mean) ** 2, weights @ (y * (x - mu)) / var


def of_two(mu, cov, eps):
    """Mean, covariance and Cov(Y, X) for n = 2 by quadrature in polar form about 0, in double precision: 4e-14."""
    angles, of_angles = _panels(np.linspace(0.0, 2.0 * np.pi, 33), 48)
    reach = np.linalg.norm(mu) + 10.0 * np.sqrt(np.trace(cov))
    radii, of_radii = _panels(np.concatenate([[0.0], np.geomspace(1e-8, reach, 60)]), 16)
    x = np.array([np.cos(angles), np.sin(angles)])[:, :, None] * radii
    d = x - mu[:, None, None]
    density = np.exp(-0.5 * np.einsum("iab,ij,jab->ab", d, np.linalg.inv(cov), d)) * radii
    density *= of_radii * of_angles[:, None] / (2.0 * np.pi * np.sqrt(np.linalg.det(cov)))
    y = x / np.sqrt(0.5 * radii * radii + eps)
    mean = np.einsum("iab,ab->i", y, density)
    of_y = y - mean[:, None, None]
    return mean, np.einsum("iab,jab,ab->ij", of_y, of_y, density), np.einsum("iab,jab,ab->ij", y, d, density)


def _panels(ends, order):
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = 0.5 * np.diff(ends)[:, None]
    return (ends[:-1, None] + half * (nodes + 1.0)).ravel(), (half * weights).ravel()


def of_equal(mu, var, eps, n=None):
    """Mean, covariance and slope for the covariance var I, by the noncentral chi-squared law of |X|^2 / var.

    E X h(|X|^2) = mu E h of n + 2 degrees of freedom, E X X^T h = var I E h (n + 2) + mu mu^T E h (n + 4). `n` is
    the number that |X|^2 is divided by.
    """
    n = len(mu) if n is None else n
    with mp.workdps(30):
        m = mp.matrix([mp.mpf(float(x)) for x in mu])
        var, eps, size = mp.mpf(float(var)), mp.mpf(float(eps)), len(mu)
        shift = mp.fsum(x * x for x in m) / var
        identity, outer = mp.eye(size), m * m.T

        def over(power, freedom):
            return mp.fsum(w * (var * s / n + eps) ** power for s, w in _chi_squared(freedom, shift))

        first = over(mp.mpf(-1) / 2, size + 2)
        tilted = -over(mp.mpf(-3) / 2, size + 4) / n
        cov = var * over(-1, size + 2) * identity + (over(-1, size + 4) - first * first) * outer
        return as_floats([first * x for x in m], cov, first * identity + tilted * outer)


@functools.cache
def _chi_squared(freedom, shift):
    """Nodes and weights of the noncentral chi-squared law: of its root, whose density has no end but 0."""
    order, centre = mp.mpf(freedom) / 2 - 1, float(mp.sqrt(shift + freedom))
    # near 0 what is expected may turn within sqrt(eps)
    ends = np.concatenate([[0.0], 10.0 ** np.arange(-4.0, 0.0, 0.5), centre + np.arange(-12.0, 13.0, 2.0)])
    roots, weights = _panels(np.unique(ends[(ends >= 0.0) & (ends > centre - 13.0)]), 24)
    found = []
    for r, weight in zip(roots, weights, strict=True):
        r, s = mp.mpf(r), mp.mpf(r) ** 2
        bessel = mp.besseli(order, mp.sqrt(shift) * r) * mp.exp(-(s + shift) / 2)
        found.append((s, weight * r * bessel * (s / shift) ** (order / 2)))
    return found


def of_any(mu, cov, eps, step=0.1):
    """Mean, covariance and slope for any covariance by the integral over exp(-t Q) in 40 digits.

    In 40 digits E Y Y^T - mean mean^T needs no other form, and inverses and determinants no eigenbasis.
    """
    n = len(mu)
    with mp.workdps(40):
        m, c, eps = mp.matrix(mu.tolist()), mp.matrix(cov.tolist()), mp.mpf(eps)
        q = (mp.fsum(x * x for x in m) + mp.fsum(c[i, i] for i in range(n))) / n + eps
        mean, square, slope = mp.zeros(n, 1), mp.zeros(n), mp.zeros(n)
        for k in range(int(-5 / step), int(80 / step)):
            v = step * mp.mpf(k)
            t = mp.exp(v - mp.exp(-v)) / q
            weight = step * t * (1 + mp.exp(-v))
            g = 2 * t / n
            tilt = mp.inverse(mp.eye(n) + g * c)
            x = tilt * m
            density = mp.exp(-t * eps - g / 2 * (m.T * x)[0]) * mp.sqrt(mp.det(tilt))
            if density * t < mp.mpf(10) ** -25 and k > 0:
                break
            half = weight * density / mp.sqrt(mp.pi * t)
            mean += half * x
            square += weight * density * (tilt * c + x * x.T)
            slope += half * (tilt - g * x * x.T)
        return as_floats(list(mean), square - mean * mean.T, slope)
