"""What formulas lose to float32 quotients that are not rounded correctly; test_gpu.py runs this in another process.

Triton compiles `/` of float32 to an instruction that may be two ulp off, unless it is told otherwise (`Compiled` in
gpu/elementary.py), and the interpreter rounds correctly. Here it makes quotients one ulp wrong, or two where an ulp
is small beside the number, up or down at random.
"""

import numpy as np
import pytest
from triton.runtime.interpreter import InterpreterBuilder

from fastmoments_kernels.gpu.elementary import INTERPRETED
from tests import conformance
from tests.rows import activations

pytestmark = pytest.mark.skipif(not INTERPRETED, reason="a card divides as it was told")


@pytest.fixture
def wrong_quotients(monkeypatch):
    rng = np.random.default_rng(1)

    def divided(x, y):
        with np.errstate(all="ignore"):
            quotient = np.divide(x, y)
            if quotient.dtype != np.float32:
                return quotient
            wrong = quotient * (1.0 + rng.choice((-1.0, 1.0), quotient.shape) * np.finfo(np.float32).eps)
            return np.where(np.isfinite(quotient), wrong, quotient).astype(np.float32)

    monkeypatch.setattr(InterpreterBuilder, "create_fdiv", lambda builder, x, y: builder.binary_op(x, y, divided))
    monkeypatch.setattr(conformance, "DTYPES", ("float32",))


@activations
def test_errors_stay_within_the_bound(row, wrong_quotients):
    """All but relu's derivative along cov_12, which is 0 at a correlation of -1 only if quotients are exact."""
    found = {key.rpartition("/")[2]: worst.error for key, worst in conformance.errors(row, "gpu", ("",)).items()}
    lost = found.pop("d_cov_12") if row.name == "relu" else 0.0
    assert max(found.values()) <= conformance.BOUND, found
    assert (lost > conformance.BOUND) == (row.name == "relu")
