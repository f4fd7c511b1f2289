"""Print a digest of what each function of some activations returns, bit by bit, and those of the bivariate normal.

usage: python tests/bits.py activation ...
"""

import hashlib
import sys

import numpy as np

import fastmoments as fm
from fastmoments_kernels import cpu
from fastmoments_kernels.kinds import OF_NORMAL

SIZES = (1, 8, 70, 130)  # alone, small, more than a tile, more than is computed in one call


def matrices(n, dtype, rng):
    """mu and a covariance of strong and one of weak correlations."""
    for factors in (2, 2 * n):
        a = rng.normal(size=(n, factors)) / np.sqrt(factors)
        yield rng.normal(size=n).astype(dtype), (a @ a.T + 1e-3 * np.eye(n)).astype(dtype)


def results(name, dtype):
    """Everything that is returned."""
    rng = np.random.default_rng(0)
    for n in SIZES:
        for mu, cov in matrices(n, dtype, rng):
            yield from fm.moments(name, mu, cov)
            mean_bar, cov_bar = rng.normal(size=n).astype(dtype), np.eye(n, dtype=dtype)
            yield from fm.moments_vjp(name, mu, cov, mean_bar, cov_bar)
            yield from fm.cov_partials(name, mu, mu[::-1], np.diag(cov), np.diag(cov)[::-1], 0.1 * cov[0])
            weight = rng.normal(size=(3 * n, n)).astype(dtype)
            yield from fm.bayes_linear_marginals(mu, np.diag(cov), weight, weight**2, activation=name)
            yield fm.affine_moments(mu, cov, weight).cov
            for function in (fm.mean, fm.var, fm.gain):
                yield function(name, mu, np.diag(cov))


def of_the_bivariate_normal(dtype):
    """Everything that is returned."""
    rng = np.random.default_rng(1)
    h, k, rho = rng.normal(size=(3, 1000)).astype(dtype)
    for name in OF_NORMAL:
        function = cpu.normal(name, dtype)
        values = function(h, k, np.tanh(2 * rho))
        yield from values if isinstance(values, tuple) else (values,)


def main(*names):
    for dtype in ("float32", "float64"):
        shown("bivariate_normal", dtype, of_the_bivariate_normal(dtype))
        for name in names:
            shown(name, dtype, results(name, dtype))


def shown(name, dtype, arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    print(name, dtype, digest.hexdigest()[:16])


if __name__ == "__main__":
    main(*sys.argv[1:])
