"""Calls of composed activations: what a framework's module does for those of the catalogue."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastmoments.composed import by_pairs
from fastmoments.composed.base import Composed
from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import framework_of, numpy, numpy_arrays, options, shapes
from fastmoments.frameworks.products import possible_cov, root
from fastmoments.results import Moments
from fastmoments_kernels.cautions import warn_of_pairs
from fastmoments_kernels.kinds import outputs_of, slack_of


def elementwise(plan: Plan, activation: Composed, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; `given` are options of NumPy's ufuncs, which it is not."""
    if given:
        raise TypeError(f"{next(iter(given))}: functions of {activation.name} are no ufuncs; leave it out")
    library = framework_of(plan)
    arrays = library.to_arrays(plan, arguments)
    shape = shapes.agreed(arrays)
    shapes.doubt(activation, arrays, library.may_be_covariance)
    for key, array in arrays.items():
        if key.startswith("var"):
            library.check_variances(key, array)
    if plan.framework == "dask":
        return _on_dask(plan, activation, name, arrays)
    return _computed(plan, activation, name, *(library.xp.broadcast_to(x, shape) for x in arrays.values()))


def _computed(plan: Plan, activation: Composed, name: str, *arrays: Any) -> Any:
    """Call a function on arrays of one shape and give the results their dtype."""
    library = framework_of(plan)
    known = _on_memory(plan, library, dict(zip(map(str, range(len(arrays))), arrays, strict=True)))
    if known is not None:
        found = _computed(plan._replace(framework="numpy", result=plan.compute), activation, name, *known.values())
        return _returned(plan, library, found)
    with library.arithmetic(plan), _quiet(plan):
        if name.startswith("cov"):
            slack = slack_of(2, float(library.xp.finfo(arrays[-1].dtype).eps))
            arrays = (*arrays[:-1], possible_cov(library.xp, arrays[2], arrays[3], arrays[4], slack))
        values = library.compiled(_Method(activation, name, library))(*arrays)
    if isinstance(values, tuple):
        return tuple(library.result(plan, value) for value in values)
    return library.result(plan, values)


def moments(
    plan: Plan, activation: Composed, inputs: Named, parameters: Named, out: Any, check: bool
) -> Moments[Any]:
    """Compute the mean and covariance of f(X), in the arrays of `out` if given."""
    if plan.framework != "numpy":
        options.refuse(f"{plan.framework} arrays", out=out)
    library = framework_of(plan)
    mu, cov = library.vector_and_matrix(plan, **inputs)
    if check:
        library.check_covariance(cov)
    outputs = None if out is None else numpy_arrays.outputs(plan, out, mu.shape, cov.shape)
    if plan.framework == "dask":
        return Moments(*by_pairs.moments(_Lazy(plan, activation), library, mu, cov))
    known = _on_memory(plan, library, {"mu": mu, "cov": cov})
    if known is not None:
        bare = plan._replace(framework="numpy", result=plan.compute)
        return Moments(*_returned(plan, library, tuple(moments(bare, activation, known, {}, None, False))))
    with library.arithmetic(plan), _quiet(plan):
        cov = _possible(plan, library, cov)
        values = library.compiled(_Method(activation, "moments", library))(mu, cov)
        found = tuple(library.result(plan, x) for x in values)
    for array, value in zip(outputs or (), found, strict=outputs is not None):
        array[...] = value
    return Moments(*(outputs or found))


def moments_vjp(
    plan: Plan, activation: Composed, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Any, ...]:
    """Compute the gradients along mu and cov."""
    if along_parameters:
        raise TypeError(f"return_parameters: there are no gradients along parameters of {activation.name}")
    library = framework_of(plan)
    mu, cov = library.vector_and_matrix(plan, **inputs)
    bars = library.to_arrays(plan, bars)
    shapes.check_bars(bars, mu, cov)
    if plan.framework == "dask":
        return by_pairs.moments_vjp(_Lazy(plan, activation), library, mu, cov, *bars.values())
    known = _on_memory(plan, library, {"mu": mu, "cov": cov} | bars)
    if known is not None:
        bare = plan._replace(framework="numpy", result=plan.compute)
        inputs, bars = ({name: known[name] for name in names} for names in (("mu", "cov"), tuple(bars)))
        gradients: tuple[Any, ...] = _returned(
            plan, library, moments_vjp(bare, activation, inputs, bars, {}, False)
        )
        return gradients
    with library.arithmetic(plan), _quiet(plan):
        cov = _possible(plan, library, cov)
        found = library.compiled(_Method(activation, "moments_vjp", library))(mu, cov, *bars.values())
    return tuple(library.result(plan, x) for x in found)


def _possible(plan: Plan, library: Any, cov: Any) -> Any:
    """Return the symmetric covariance; pairs beyond |rho| = 1 are nan, or at it where rounding put them there."""
    xp, cov = library.xp, library.symmetric(cov)
    var = xp.einsum("...ii->...i", cov)
    slack = slack_of(cov.shape[-1], float(xp.finfo(cov.dtype).eps))
    possible = possible_cov(xp, var[..., :, None], var[..., None, :], cov, slack)
    known = library.values(plan, {"possible": possible, "cov": cov, "sums": var[..., :, None] + var[..., None, :]})
    if known is not None:
        lost = np.isnan(known["possible"]) & np.isfinite(known["cov"]) & np.isfinite(known["sums"])
        warn_of_pairs(bool(lost.any()))
    limit = root(xp, var)[..., :, None] * root(xp, var)[..., None, :]
    # functions of pairs accept less rounding than a matrix has; derivatives do not notice
    beyond = xp.where(xp.abs(possible) > limit, possible - xp.sign(possible) * limit, xp.zeros_like(cov))
    within = possible - library.detached(beyond)
    on_diagonal = library.plus_diagonal(xp.zeros_like(cov), xp.ones_like(var)) > 0.0
    return xp.where(on_diagonal, cov, within)


def _on_memory(plan: Plan, library: Any, arrays: Named) -> Named | None:
    """Return NumPy's arrays on the memory of another library's, if nothing tracks them: they take less time."""
    known: Named | None = None if plan.framework == "numpy" else library.values(plan, arrays)
    return known


def _returned(plan: Plan, library: Any, found: Any) -> Any:
    """Return NumPy's results as the library's arrays, in the result's dtype."""
    values = found if isinstance(found, tuple) else (found,)
    arrays = library.to_arrays(plan, {str(i): value for i, value in enumerate(values)})
    results = tuple(library.result(plan, x) for x in arrays.values())
    return results if isinstance(found, tuple) else results[0]


def _quiet(plan: Plan) -> AbstractContextManager[Any]:
    return np.errstate(all="ignore") if plan.framework == "numpy" else nullcontext()


@dataclass(frozen=True)
class _Method:
    """A function of an activation's for a library's arrays; those of equal activations are equal."""

    activation: Composed
    name: str
    library: Any

    def __call__(self, *arrays: Any) -> Any:
        if self.name == "marginals":
            return tuple(getattr(self.activation, part)(self.library, *arrays) for part in ("mean", "var"))
        return getattr(self.activation, self.name)(self.library, *arrays)


class _Lazy:
    """The functions of an activation on Dask's arrays, in the place of the activation itself."""

    def __init__(self, plan: Plan, activation: Composed) -> None:
        self.plan, self.activation = plan, activation

    def __getattr__(self, name: str) -> Any:
        names = ("mu", "var") if not name.startswith("cov") else ("mu_1", "mu_2", "var_1", "var_2", "cov_12")
        return lambda _, *arrays: _on_dask(self.plan, self.activation, name, dict(zip(names, arrays, strict=True)))


def _on_dask(plan: Plan, activation: Composed, name: str, arrays: Named) -> Any:
    """Call a function on every block of Dask's arrays."""
    from fastmoments.frameworks import dask

    call = partial(_on_blocks, plan._replace(framework="numpy"), activation, name, tuple(arrays))
    return dask.by_blocks(plan, call, arrays, outputs_of(name, len(arrays)))


def _on_blocks(plan: Plan, activation: Composed, name: str, names: tuple[str, ...], *blocks: Any) -> Any:
    """Compute a block of a Dask array; the variances of a matrix are its diagonal."""
    for key, block in zip(names, blocks, strict=True):
        if key.startswith("var"):
            numpy.check_variances(key, block)
    return _computed(plan, activation, name, *np.broadcast_arrays(*blocks))
