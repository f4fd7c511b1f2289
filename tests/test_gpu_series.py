"""What series leave out at the |rho| up to which the GPU's rules take them, beside sums of thousands of terms."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton has wheels for Linux only")

from fastmoments_kernels.bind import bind  # noqa: E402
from fastmoments_kernels.gpu.covariance_vjp import of_derivatives  # noqa: E402
from fastmoments_kernels.gpu.series import reach  # noqa: E402

SWEEP, MOST, ALL = 8, 128, 5000
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
# Triton's words on tensors
WORDS = {
    "tl": SimpleNamespace(arange=torch.arange, max=torch.amax),
    "exp": torch.exp,
    "log": torch.log,
    "minimum": torch.clamp_max,
}


def coefficients(name, h):
    """b_0 .. b_ALL of f(h + Z), by orthonormal he_n(-h) = He_n(-h) / sqrt(n!).

    Relu has b_n = phi(h) he_(n-2) / sqrt(n (n - 1)) from n = 2 on, the step phi(h) he_(n-1) / sqrt(n) from 1 on.
    """
    he = [1.0, -h]
    for n in range(2, ALL):
        he.append((-h * he[-1] - math.sqrt(n - 1) * he[-2]) / math.sqrt(n))
    phi, cdf = math.exp(-0.5 * h * h) / math.sqrt(2 * math.pi), 0.5 * math.erfc(-h / math.sqrt(2))
    n = np.arange(1, ALL + 1)
    if name == "heaviside":
        return np.array([cdf, *(phi * np.array(he) / np.sqrt(n))])
    return np.array([h * cdf + phi, cdf, *(phi * np.array(he[:-1]) / np.sqrt(n[1:] * n[:-1]))])


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("h", (0.0, 0.5, -2.0, 3.5))
@pytest.mark.parametrize("name", ("relu", "heaviside"))
def test_what_derivatives_leave_out(name, h, dtype):
    """At most eps / 8 of the derivative's scale, for two neurons alike: no bound by Cauchy-Schwarz is loose."""
    b, k = coefficients(name, h), np.arange(ALL - 1)
    tail = np.append(np.cumsum(b[:0:-1] ** 2)[::-1], 0.0)  # sums from n = 1, 2, ...
    slope, bend = np.sqrt(k + 1.0) * b[1:-1], 0.5 * np.sqrt((k + 1.0) * (k + 2.0)) * b[2:]
    if name == "relu":
        sizes = {"cov": (slope * slope).sum(), "mu": math.sqrt((slope * slope).sum() * tail[0])}
    else:  # its slope has no square; K itself is the scale
        sizes = {"cov": tail[0], "mu": tail[0]}
    terms = {"cov": slope * slope, "mu": slope * b[:-2], "var": bend * b[:-2]}
    for place, n in enumerate(range(SWEEP, MOST + 1, SWEEP)):
        remainders = torch.full((MOST // SWEEP,), torch.inf, dtype=torch.float64)
        remainders[place] = math.log(tail[n] / tail[0])
        remainders = bind(of_derivatives, WORDS)(remainders, SWEEP, MOST)
        rho = bind(reach, WORDS)(remainders, math.log(0.5 * EPS[dtype]), SWEEP, MOST).item()
        for along, term in terms.items():
            left_out = (rho ** k[n + 1 :] * term[n + 1 :]).sum()
            assert abs(left_out) <= EPS[dtype] / 8 * sizes.get(along, sizes["cov"]), (along, n, rho)
