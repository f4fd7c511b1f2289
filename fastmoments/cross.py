"""Covariances of two activations: of a Gaussian pair element by element, and of two vectors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from fastmoments.composed.base import Composed
from fastmoments.composed.logistic import Logistic
from fastmoments.composed.logistic_beside import beside_cov
from fastmoments.cross_series import series_cov, told
from fastmoments.dispatch import Named, Plan, plan_of
from fastmoments.elementwise import cov, gain, mean
from fastmoments.frameworks import Framework, framework_of, numpy, shapes
from fastmoments.frameworks.products import possible_cov
from fastmoments.hints import explained
from fastmoments.kinks import pieces_cov
from fastmoments.parameters import of_neurons
from fastmoments.pieces import WAVES, Side, pair_of, pieces_of
from fastmoments.results import T
from fastmoments.signatures import Operand
from fastmoments.waves import bumps_wave_cov, sin_cos_cov
from fastmoments_kernels.catalogue import Gaussian
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.kinds import slack_of

Function = str | Custom | Composed


@explained
def cross_cov(
    f: Any,
    g: Any,
    mu_1: Operand[T],
    mu_2: Operand[T],
    var_1: Operand[T],
    var_2: Operand[T],
    cov_12: Operand[T],
) -> T:
    """Cov(f(X_1), g(X_2)) of two activations for a Gaussian pair, element by element.

    Parameters
    ----------
    f, g : objects such as ReLU() or HardTanh(), classes, names, or Custom functions. Their parameters broadcast
        with the arrays.
    mu_1, mu_2, var_1, var_2, cov_12 : arrays that broadcast, the pair's means, variances and covariance.

    Returns
    -------
    array
        In the broadcast shape, in the inputs' library and dtype; nan where cov_12^2 > var_1 var_2 by more than
        rounding, 0 where a variance is 0.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real; for two functions without a
        closed form, arrays on JAX or another device, and tensors with derivatives.
    ValueError : shapes that do not broadcast, a negative variance (Dask: when computed; JAX, GPUs: nan).
    ToleranceError : two functions without a closed form whose series does not reach the tolerance.

    Notes
    -----
    Two activations of one class are `cov`. Any two of relu, leaky_relu, abs, heaviside, probit, bernoulli_probit,
    erf, gelu, gaussian, npn, npn_linear and gaussian_mixture are sums of lines, kinks and bumps and have closed
    forms; so do sin and cos, beside each other and beside bumps (gaussian, npn, npn_linear, gaussian_mixture).
    |error| <= 1e-12 sqrt(Var f Var g) in float64, 64 eps in float32, up to 6 standard deviations from the kinks.
    Errors grow like eps / sd around an extremum of gelu or npn_linear, where pieces cancel, and at |rho| = 1 like
    eps sqrt(1 + tau var) for a bump or smooth step of precision tau (1 for probit and gelu).

    Autograd and JAX differentiate it; infinite derivatives at |rho| = 1 are 0, as in `cov_partials`. A
    bernoulli_probit neuron is independent of others given its input.

    A wave beside a kink, and a Custom beside anything but itself, have the series sum_n rho^n b_n(f) b_n(g) on
    NumPy arrays, Dask's, and tensors on the CPU without derivatives: |error| <= tol sqrt(Var f Var g), tol that of
    the Custom, the larger of two, or else 1e-10. On other arrays a Custom beside bumps goes by its means.

    References
    ----------
    Price, "A useful theorem for nonlinear devices having Gaussian inputs", 1958. Mehler, 1866.
    """
    moments = {"mu_1": mu_1, "mu_2": mu_2, "var_1": var_1, "var_2": var_2, "cov_12": cov_12}
    result: T = _call(f, g, moments, lambda name, array: array)
    return result


def cross_matrix(f: Any, g: Any, mu_1: Any, mu_2: Any, var_1: Any, var_2: Any, cov_12: Any) -> Any:
    """Compute the covariances (..., n, m) of f of one vector's entries with g of another's.

    mu_1 and var_1 are (..., n), mu_2 and var_2 (..., m), cov_12 (..., n, m), the parameters of f numbers or
    (..., n), those of g (..., m). Otherwise it is `cross_cov`.
    """
    moments = {"mu_1": mu_1, "mu_2": mu_2, "var_1": var_1, "var_2": var_2, "cov_12": cov_12}
    return _call(f, g, moments, _in_matrix)


def _in_matrix(name: str, array: Any) -> Any:
    """Place an argument of `cross_matrix` along the rows or the columns."""
    if not array.ndim or name == "cov_12":
        return array
    return array[..., :, None] if name in ("mu_1", "var_1") or name.startswith("f.") else array[..., None, :]


def _call(f: Any, g: Any, moments: Named, placed: Callable[[str, Any], Any]) -> Any:
    """Make the plan of a call, and compute its arrays as they are placed."""
    (f_name, f_parameters), (g_name, g_parameters) = of_neurons(f), of_neurons(g)
    given = moments | {f"f.{name}": value for name, value in f_parameters.items()}
    given |= {f"g.{name}": value for name, value in g_parameters.items()}
    plan = plan_of(given)
    framework = framework_of(plan)
    arrays = {name: placed(name, array) for name, array in framework.to_arrays(plan, given).items()}
    shapes.agreed(arrays)
    if plan.framework == "dask":
        from fastmoments.frameworks import dask

        return dask.by_blocks(plan, partial(_on_blocks, plan, f_name, g_name, tuple(arrays)), arrays)
    return _computed(plan, f_name, g_name, arrays)


def _on_blocks(plan: Plan, f: Function, g: Function, names: tuple[str, ...], *blocks: Any) -> Any:
    """Compute a block of a Dask array."""
    return _computed(plan._replace(framework="numpy"), f, g, dict(zip(names, blocks, strict=True)))


def _computed(plan: Plan, f: Function, g: Function, arrays: Named) -> Any:
    """Compute the covariance in the dtype of the plan's result."""
    framework = framework_of(plan)
    for name in ("var_1", "var_2"):
        framework.check_variances(name, arrays[name])
    slack = slack_of(2, float(framework.xp.finfo(arrays["cov_12"].dtype).eps))
    with framework.arithmetic(plan), _quiet(plan):
        possible = possible_cov(framework.xp, arrays["var_1"], arrays["var_2"], arrays["cov_12"], slack)
        arrays = arrays | {"cov_12": possible}
        one, two = _sides(framework, f, g, arrays)
        value = _closed(one, two, arrays["cov_12"])
        if value is None:
            value = _to_a_tolerance(plan, f, g, arrays, slack)
    return framework.result(plan, value)


def _to_a_tolerance(plan: Plan, f: Function, g: Function, arrays: Named, slack: float) -> Any:
    """Compute the covariance by the series, or by means where arrays may be traced."""
    framework = framework_of(plan)
    known = framework.values(plan, arrays)
    if known is not None:
        found = series_cov(*_sides(numpy, f, g, known), known["cov_12"], slack)
        return framework.to_arrays(plan, {"cov": found})["cov"]
    one, two = _sides(framework, f, g, arrays)
    value = _tilted(one, two, arrays["cov_12"])
    if value is None:
        raise TypeError(
            f"f, g: {told(one)} beside {told(two)} has no closed form, and its series takes only NumPy arrays, and "
            "tensors on the CPU without derivatives: pass numpy.asarray(mu_1) ..., or mu_1.detach().cpu() ..."
        )
    return value


def _quiet(plan: Plan) -> AbstractContextManager[Any]:
    return np.errstate(all="ignore") if plan.framework == "numpy" else nullcontext()


def _sides(library: Framework[Any], f: Function, g: Function, arrays: Named) -> tuple[Side, Side]:
    """Return the two functions with the moments of their inputs."""

    def side(name: Function, prefix: str, index: str) -> Side:
        own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        # given its input a Bernoulli neuron is independent of others: they see its mean alone
        seen = "probit" if name == "bernoulli_probit" else name
        return Side(library, seen, own, arrays[f"mu_{index}"], arrays[f"var_{index}"])

    return side(f, "f.", "1"), side(g, "g.", "2")


def _closed(one: Side, two: Side, cov_12: Any) -> Any:
    """Compute the covariance in closed form, or else return None."""
    if one.name == two.name and one.parameters.keys() == two.parameters.keys():
        return cov(pair_of(one, two), one.mu, two.mu, one.var, two.var, cov_12)
    if one.has_pieces and two.has_pieces:
        return pieces_cov(one, two, cov_12)
    for a, b in ((one, two), (two, one)):
        beside = None
        if isinstance(a.name, Logistic):
            beside = beside_cov(a, b, cov_12)
        elif isinstance(a.name, Composed):
            beside = a.name.cov_beside(a, b, cov_12)
        if beside is not None:
            return beside
        if (a.name, b.name) == WAVES:
            return sin_cos_cov(a, b, cov_12)
        if b.name in WAVES and a.has_pieces and not pieces_of(a).kinks:
            return bumps_wave_cov(a, b, cov_12)
    return None


def _tilted(one: Side, two: Side, cov_12: Any) -> Any:
    """Compute the covariance of a line plus bumps with a Custom by the means of the latter, or else return None.

    The density times a bump s of X_1 is that of a Gaussian, so that Cov(s, f) = E s (E f(X_2') - E f(X_2)), to the
    tolerance of f's means. The moments of X_2' are those that `waves` explains.
    """
    for a, b in ((one, two), (two, one)):
        if isinstance(b.name, Custom) and a.has_pieces and not pieces_of(a).kinks:
            slope, _, bumps = pieces_of(a)
            total = 0.0 if slope is None else slope * cov_12 * gain(b.name, b.mu, b.var)
            for bump in bumps:
                pull = bump.tau / (1.0 + bump.tau * a.var)
                narrowed = b.var - cov_12 * cov_12 * pull
                narrowed = b.xp.where(narrowed > 0.0, narrowed, 0.0 * narrowed)  # but for rounding
                moved = mean(b.name, b.mu - cov_12 * pull * (a.mu - bump.center), narrowed)
                height = mean(Gaussian(tau=bump.tau, center=bump.center), a.mu, a.var)
                total = total + bump.weight * height * (moved - mean(b.name, b.mu, b.var))
            return total
    return None
