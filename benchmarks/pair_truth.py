"""Covariances of two ReLUs or GELUs in 24 digits, by an integral over one neuron, for tables and figures."""

from typing import Any

from mpmath import mp, mpf

from tests.quadrature import nodes_and_weights


def _mean(name: str, mu: Any, var: Any) -> Any:
    """The textbook's E f(X), whose cancellation 40 digits absorb."""
    if name == "relu":
        return mu * mp.ncdf(mu / mp.sqrt(var)) + mp.sqrt(var) * mp.npdf(mu / mp.sqrt(var))
    g = mu / mp.sqrt(1 + var)
    return mu * mp.ncdf(g) + var / mp.sqrt(1 + var) * mp.npdf(g)


def truth(name: str, h: float, k: float, rho: float) -> Any:
    """Cov(f(X), f(Y)) of means h and k, variances 1, as E (f(X) - E f(X)) (E[f(Y) | X] - E f(Y)), |rho| < 1."""
    with mp.workdps(40):
        h, k, rho = mpf(h), mpf(k), mpf(rho)
        rest, means = 1 - rho * rho, (_mean(name, h, 1), _mean(name, k, 1))

        def integrand(z: Any) -> Any:
            x = h + z
            f = max(x, mpf(0)) if name == "relu" else x * mp.ncdf(x)
            return (f - means[0]) * (_mean(name, k + rho * z, rest) - means[1]) * mp.npdf(z)

        # panels that resolve the density, the kink, and where the conditional mean bends
        width = mp.sqrt(rest) / abs(rho) if rho else mpf(4)
        bends = [-k / rho + step * width for step in (-9, -5, -2, 0, 2, 5, 9)] if width < 1 else []
        ends = sorted({z for z in (*bends, -h) if -16 < z < 16} | set(range(-16, 17, 4)))
        rule = list(zip(*nodes_and_weights(24), strict=True))
        panels = [((low + high) / 2, (high - low) / 2) for low, high in zip(ends[:-1], ends[1:], strict=True)]
        return sum(radius * sum(w * integrand(middle + radius * x) for x, w in rule) for middle, radius in panels)
