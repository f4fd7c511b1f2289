"""Random Gaussians with the oddities of users' data, and the results that every framework has to return.

A matrix is judged entry by entry by the contract: the formulas in float64 on NumPy, bound independently of every
framework's kernels, give the value, and their derivatives give its condition.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from fastmoments_kernels.catalogue import NPN
from fastmoments_kernels.eager import elementwise
from tests.conformance import BOUND
from tests.rows import function, numbers

SHAPES = [((), 0), ((), 1), ((), 2), ((), 5), ((2,), 3), ((0,), 2), ((2, 1), 4)]
LAYOUTS = ("contiguous", "strided", "transposed", "reversed", "read-only", "broadcast")
# exponents of standard deviations: ordinary ones, and so wide that products of variances leave the dtype
SCALES = {"ordinary": {"float32": 3, "float64": 3}, "wide": {"float32": 17, "float64": 149}}
EVENTS = (
    "zero variance",
    "on the kink",
    "equal means in sd",
    "opposite means in sd",
    "uncorrelated",
    "the same twice",
    "opposites",
    "beyond 1 by rounding",
    "beyond 1 by mistake",
    "nan mean",
    "nan variance",
    "nan covariance",
    "inf mean",
    "asymmetric",
)


class Case(NamedTuple):
    """A Gaussian in a dtype, the layout of its arrays in memory, and the events that changed it."""

    mu: Any
    cov: Any
    layout: str
    events: tuple[str, ...]


@st.composite
def gaussians(draw, dtypes=("float32", "float64"), shapes=SHAPES, layouts=LAYOUTS, scales=tuple(SCALES)):
    """Gaussians of any scale, each neuron with a scale of its own, changed by up to three events."""
    (batch, n), dtype = draw(st.sampled_from(shapes)), draw(st.sampled_from(dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = SCALES[draw(st.sampled_from(scales))][dtype]
    sd = 10.0 ** rng.uniform(-reach, reach, (*batch, n))
    root = rng.standard_normal((*batch, n, n + 1)) / np.sqrt(n + 1)
    mu = (sd * rng.standard_normal((*batch, n)) * 10.0 ** rng.uniform(-2, 1)).astype(dtype)
    cov = (sd[..., :, None] * (root @ root.swapaxes(-1, -2)) * sd[..., None, :]).astype(dtype)
    events = tuple(draw(st.lists(st.sampled_from(EVENTS), max_size=3))) if mu.size and n > 1 else ()
    for event in events:
        i, j = sorted(rng.choice(n, 2, replace=False))
        _happen(event, mu, cov, i, j, np.finfo(dtype).eps)
    return Case(mu, cov, draw(st.sampled_from(layouts)), events)


def _happen(event, mu, cov, i, j, eps):
    if event in ("the same twice", "opposites", "beyond 1 by rounding"):
        sign = -1.0 if event == "opposites" else 1.0
        mu[..., j] = sign * mu[..., i]
        cov[..., :, j], cov[..., j, :] = sign * cov[..., :, i], sign * cov[..., i, :]
        cov[..., j, j] = cov[..., i, i]
        cov[..., i, j] = cov[..., j, i] = sign * cov[..., i, i] * (1 + (4 * eps if "beyond" in event else 0))
    elif event == "zero variance":
        cov[..., i, i] = 0.0
    elif event == "on the kink":
        mu[..., i] = 0.0
    elif event.endswith("means in sd"):
        sign = -1.0 if event.startswith("opposite") else 1.0
        mu[..., j] = sign * mu[..., i]
        # the same correlations at neuron i's variance
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.sqrt(cov[..., i, i]) / np.sqrt(cov[..., j, j])
        cov[..., :, j] *= scale[..., None]
        cov[..., j, :] *= scale[..., None]
        cov[..., j, j] = cov[..., i, i]
    elif event == "uncorrelated":
        cov[..., i, j] = cov[..., j, i] = 0.0
    elif event == "beyond 1 by mistake":
        cov[..., i, j] = cov[..., j, i] = 1.5 * np.sqrt(cov[..., i, i]) * np.sqrt(cov[..., j, j])
    elif event == "asymmetric":
        cov[..., j, i] = 0.5 * cov[..., i, j]
    else:
        bad = np.nan if event.startswith("nan") else np.inf
        where = {
            "mean": mu[..., i : i + 1],
            "variance": cov[..., i, i : i + 1],
            "covariance": cov[..., i, j : j + 1],
        }
        where[event.split()[1]][...] = bad


def laid_out(array, layout):
    """The numbers of an array in another memory layout."""
    if layout == "strided":
        wide = np.full(tuple(2 * size for size in array.shape), np.nan, array.dtype)
        view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    if layout == "reversed":
        axes = tuple(range(array.ndim))
        return np.flip(np.ascontiguousarray(np.flip(array, axes)), axes)
    if layout == "transposed":
        return np.asfortranarray(array)
    if layout == "broadcast":
        return np.broadcast_to(array, (2, *array.shape))
    copy = array.copy()
    copy.setflags(write=layout != "read-only")
    return copy


def assert_moments(name, mu, cov, found):
    """Judge mean and covariance of arrays (..., n) and (..., n, n) by the contract; nan where inputs make it nan.

    The smallest normal number may be lost. It is scaled by the standard deviations for a kinked activation, by the
    amplitudes for a bump, as the result is. A small variance is f'^2 var + (f'' var)^2 / 2: both terms may be lost.
    """
    mean, out = (np.asarray(x) for x in found)
    assert mean.shape == mu.shape and out.shape == cov.shape and mean.dtype == out.dtype == cov.dtype
    assert np.array_equal(out, out.swapaxes(-1, -2), equal_nan=True)
    dtype, n = cov.dtype, mu.shape[-1]
    mu, cov = mu.astype(float), cov.astype(float)
    var, var_out = (np.einsum("...ii->...i", x) for x in (cov, out.astype(float)))
    scale = np.sqrt(np.fmax(1.0, var)) if name == "relu" else np.full_like(var, NPN().q)
    lost = float(np.finfo(dtype).tiny) * scale
    assert_within(mean, *neuron(name, "mean", mu, var), lost, dtype)
    of_var = neuron(name, "var", mu, var)
    assert_within(var_out, *of_var, 2.0 * lost * scale, dtype)
    i, j = np.triu_indices(n, 1)
    slack = 64 * n * float(np.finfo(dtype).eps)
    value, size = pair(name, mu[..., i], mu[..., j], var[..., i], var[..., j], cov[..., i, j], slack)
    # a variance below the smallest normal number has an error of that number
    sd_out = np.sqrt(of_var[0] + np.finfo(float).tiny)
    lost = 2.0 * lost[..., i] * scale[..., j]
    assert_within(out[..., i, j], value, size + sd_out[..., i] * sd_out[..., j], lost, dtype)


def neuron(name, kind, mu, var):
    """(values, sum over inputs of |x dy/dx|) of the mean or the variance."""
    own = numbers(name)
    value = elementwise(name, kind)(mu, var, *own)
    if kind == "mean":
        by_mu, by_var = (elementwise(name, slope)(mu, var, *own) for slope in ("gain", "mean_dvar"))
    else:
        by_mu, by_var = elementwise(name, "var_partials")(mu, var, *own)
    return value, np.abs(value) + _weighed((mu, by_mu), (var, by_var))


def pair(name, mu_1, mu_2, var_1, var_2, cov_12, slack):
    """`neuron` for covariances; one that exceeds sqrt(var_1 var_2) by less than `slack` is set to it."""
    own = [number for number in numbers(name) for _ in (1, 2)]
    with np.errstate(all="ignore"):
        # a product of variances may overflow, and a product of roots is rounded otherwise: duplicates take var
        (small_1, power_1), (small_2, power_2) = (_by_even_power(var) for var in (var_1, var_2))
        reach = np.ldexp(np.sqrt(small_1 * small_2), (power_1 + power_2) // 2)
        rho_12 = np.ldexp(cov_12, -(power_1 + power_2) // 2)
        beyond = (rho_12 * rho_12 > small_1 * small_2 * (1.0 + slack)) | np.isnan(reach)
        cov_12 = np.where(beyond, cov_12, np.clip(cov_12, -reach, reach))
    inputs = mu_1, mu_2, var_1, var_2, cov_12
    value, slopes = (elementwise(name, kind)(*inputs, *own) for kind in ("cov", "cov_partials"))
    return value, np.abs(value) + _weighed(*zip(inputs, slopes, strict=True))


def _by_even_power(var):
    """(x, p), p even, with var = x 2^p."""
    power = np.frexp(var)[1] // 2 * 2
    return np.ldexp(var, -power), power


def _weighed(*pairs):
    # a slope below the smallest normal number has an error of that number
    least = np.finfo(float).tiny
    with np.errstate(invalid="ignore", over="ignore"):
        return sum(np.nan_to_num(np.abs(x) * (np.abs(slope) + least), nan=0.0) for x, slope in pairs)


def assert_within(got, value, size, lost, dtype):
    info = np.finfo(dtype)
    assert np.array_equal(np.isnan(got), np.isnan(value)), (got, value)
    known = np.isfinite(value) & np.isfinite(size)
    # a result that the dtype cannot hold is inf
    with np.errstate(invalid="ignore"):
        small = np.abs(got - value) <= BOUND * info.eps * size + lost
    wrong = ~(small | (got == value) | (np.abs(value) > info.max) | ~known)
    assert not wrong.any(), (got[wrong], value[wrong], size[wrong])


MISTAKES = {
    "cov of another size": lambda mu, cov: ("moments", (mu, np.zeros((7, 7), mu.dtype)), {}),
    "cov not square": lambda mu, cov: ("moments", (mu, cov[..., :-1]), {}),
    "no vector": lambda mu, cov: ("moments", (np.zeros((), mu.dtype), cov), {}),
    "batches": lambda mu, cov: ("moments", (np.stack([mu] * 3), np.stack([cov] * 4)), {}),
    "negative variance": lambda mu, cov: ("moments", (mu, -cov), {}),
    "negative variance of a neuron": lambda mu, cov: ("marginals", (mu, -np.ones_like(mu)), {}),
    "shapes": lambda mu, cov: ("mean", (mu, np.ones(7, mu.dtype)), {}),
    "dtypes": lambda mu, cov: ("moments", (np.zeros_like(mu, "float16"), cov), {}),
    "complex": lambda mu, cov: ("mean", (mu.astype("complex64"), 1.0), {}),
    "bool": lambda mu, cov: ("mean", (mu, mu > 0), {}),
    "text": lambda mu, cov: ("mean", (mu, "one"), {}),
    "ragged": lambda mu, cov: ("mean", (mu, [[1.0], [1.0, 2.0]]), {}),
    "precision": lambda mu, cov: ("moments", (mu, cov), {"precision": "double"}),
    "check": lambda mu, cov: ("moments", (mu, np.triu(cov) + 1), {"check": True}),
    "parameter": lambda mu, cov: ("moments", (mu, cov), {"tau": np.ones(7, mu.dtype)}),
    "gradient": lambda mu, cov: ("moments_vjp", (mu, cov, cov, cov), {}),
}


def outcome(name, kind, arguments, keywords, convert):
    """("error", class, message) of a call, or ("result", arrays)."""
    given = [convert(x) if isinstance(x, np.ndarray) else x for x in arguments]
    keywords = {key: convert(x) if isinstance(x, np.ndarray) else x for key, x in keywords.items()}
    try:
        return "result", function(name, kind)(*given, **keywords)
    except Exception as error:
        return "error", type(error), str(error)
