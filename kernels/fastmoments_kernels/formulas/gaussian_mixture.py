"""gaussian_mixture(x) = sum_k weight_k s_k(x) of bumps s_k(x) = exp(-tau_k (x - center_k)^2 / 2).

Its parameters are all weights, then all taus, then all centers. A mean is a sum over components, a covariance a sum
over pairs of them; its part linear in cov_12 is the product of two sums, so that it is small where they are.
"""

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.bump import (
    bend,
    bump,
    height,
    height_dcenter,
    height_dtau,
    log_bump,
    reach,
    slope,
    steepest,
)
from fastmoments_kernels.formulas.bump_pairs import (
    covariance,
    covariance_10,
    covariance_20,
    covariance_dcenter,
    covariance_dtau,
    expectation_11,
    remainder,
    remainder_11,
)
from fastmoments_kernels.formulas.common_bumps import (
    common_covariance,
    common_covariance_dcenter,
    common_covariance_dmu,
    common_covariance_dtau,
    common_remainder,
    common_remainder_dvar,
)
from fastmoments_kernels.formulas.correlation import (
    link,
    root,
    self_link,
)
from fastmoments_kernels.vocabulary import Real, Reals, absolute, collected, either, exp, summed, where

# below this (kappa z_1 z_2)^2 the difference of E s_1' s_2' and E s_1' E s_2', which are of one size, loses nothing
WEAK = 0.25


# A slice [::3] has one entry per component: `summed` and `collected` take its length and pass k = 0, 1, ...
def function(x: Real, *parameters: Real) -> Real:
    """sum_k weight_k exp(-tau_k (x - center_k)^2 / 2)."""
    return summed(parameters[::3], _bump_at, (x, parameters))


def lipschitz(*parameters: Real) -> Real:
    """An upper bound of sup |f'|: the sum of the components' suprema."""
    return summed(parameters[::3], _steepest_at, parameters)


def _steepest_at(k: Real, parameters: Reals) -> Real:
    return absolute(parameters[k]) * steepest(parameters[len(parameters[::3]) + k])


def _bump_at(k: Real, context: Reals) -> Real:
    x, parameters = context
    count = len(parameters[::3])
    return parameters[k] * exp(log_bump(x, parameters[count + k], parameters[2 * count + k]))


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, sd, weights, taus, centers)."""
    return (mu, var, root(var)) + parameters


def _component(neuron: Reals, k: Real) -> Reals:
    """The features of a neuron's bump k."""
    # Triton indexes by constants, and would take a length with a name for a number computed at run time
    return bump(neuron[0], neuron[1], neuron[3 + len(neuron[3::3]) + k], neuron[3 + 2 * len(neuron[3::3]) + k])


def of_bump(bump: Reals) -> Real:
    """The summand of a component: E s(X), unless another function is bound."""
    return height(bump)


def of_bumps(one: Reals, two: Reals, link: Reals) -> Real:
    """The summand of a pair of components: Cov(s_1(X_1), s_2(X_2)), unless another function is bound."""
    return covariance(one, two, link)


def _of_component(k: Real, neuron: Reals) -> Real:
    return of_bump(_component(neuron, k))


def _weighted(k: Real, neuron: Reals) -> Real:
    return neuron[3 + k] * of_bump(_component(neuron, k))


def _over_components(neuron: Reals) -> Real:
    return summed(neuron[3::3], _weighted, neuron)


def _weighted_pair(k: Real, context: Reals) -> Real:
    one, neuron_2, link = context
    return neuron_2[3 + k] * of_bumps(one, _component(neuron_2, k), link)


def _component_against(k: Real, context: Reals) -> Real:
    """Component k of neuron 1 with all components of neuron 2."""
    neuron_1, neuron_2, link = context
    return summed(neuron_2[3::3], _weighted_pair, (_component(neuron_1, k), neuron_2, link))


def _weighted_against(k: Real, context: Reals) -> Real:
    neuron_1, _, _ = context
    return neuron_1[3 + k] * _component_against(k, context)


def _over_pairs(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Real:
    return summed(neuron_1[3::3], _weighted_against, (neuron_1, neuron_2, link))


def mean(neuron: Reals) -> Real:
    """E f(X)."""
    return _over_components(neuron)


def gain(neuron: Reals) -> Real:
    """E f'(X)."""
    return _slopes(neuron)


def var(neuron: Reals) -> Real:
    """Var f(X)."""
    return neuron[1] * gain(neuron) * gain(neuron) + _common_remainders(neuron, neuron, self_link(neuron))


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E f''(X) / 2."""
    return 0.5 * _bends(neuron)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar)."""
    joined = self_link(neuron)
    d_var = gain(neuron) * gain(neuron) + _common_dvar(neuron, neuron, joined)
    return _common_dmu(neuron, neuron, joined), d_var


def mean_dparameters(neuron: Reals) -> Reals:
    """d mean along weights, taus, centers."""
    along_weights = collected(neuron[3::3], _of_component, neuron)
    return along_weights + collected(neuron[3::3], _dtau, neuron) + collected(neuron[3::3], _dcenter, neuron)


def var_dparameters(neuron: Reals) -> Reals:
    """d var along weights, taus, centers: twice the derivatives of the covariance with itself."""
    context = (neuron, neuron, self_link(neuron))
    along_weights = collected(neuron[3::3], _common_against, context)
    along_taus = collected(neuron[3::3], _common_dtau, context)
    half = along_weights + along_taus + collected(neuron[3::3], _common_dcenter, context)
    return collected(half, _doubled, half)


def _doubled(k: Real, values: Reals) -> Real:
    return 2.0 * values[k]


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    low, high = _low(neuron_1, neuron_2), _high(neuron_1, neuron_2)
    joined = link(low, high, cov_12, slack)
    return joined[1] * (gain(low) * gain(high)) + _remainders(low, high, joined)


def _low(neuron_1: Reals, neuron_2: Reals) -> Reals:
    """The neuron of smaller (mu, var): sums run in one order, and exchanging the neurons changes no bit."""
    return collected(neuron_1, _chosen, (_is_above(neuron_1, neuron_2), neuron_2, neuron_1))


def _high(neuron_1: Reals, neuron_2: Reals) -> Reals:
    return collected(neuron_1, _chosen, (_is_above(neuron_1, neuron_2), neuron_1, neuron_2))


def _is_above(neuron_1: Reals, neuron_2: Reals) -> Real:
    return (neuron_1[0] > neuron_2[0]) | ((neuron_1[0] == neuron_2[0]) & (neuron_1[1] > neuron_2[1]))


def _chosen(k: Real, context: Reals) -> Real:
    condition, yes, no = context
    return where(condition, yes[k], no[k])


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = d cov / d mu_1."""
    return _pairs_10(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1."""
    return _pairs_20(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = d cov / d cov_12."""
    low, high = _low(neuron_1, neuron_2), _high(neuron_1, neuron_2)
    joined = link(low, high, cov_12, slack)
    weak = joined[1] * joined[1] * _reaches(low) * _reaches(high) < WEAK
    return either(weak, _product_by_gains, _pairs_11, (low, high, joined))


def _product_by_gains(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Real:
    """The product of the sums E f', small where they are, and the remainders: components' terms would cancel."""
    return gain(neuron_1) * gain(neuron_2) + _remainders_11(neuron_1, neuron_2, link)


def _reach_of(k: Real, neuron: Reals) -> Real:
    return reach(_component(neuron, k))


def _reaches(neuron: Reals) -> Real:
    return summed(neuron[3::3], _reach_of, neuron)


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """d cov along neuron 1's weights, taus, centers."""
    context = (neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))
    along_weights = collected(neuron_1[3::3], _component_against, context)
    along_taus = collected(neuron_1[3::3], _dtau_against, context)
    return along_weights + along_taus + collected(neuron_1[3::3], _dcenter_against, context)


_slopes = bind(_over_components, {"of_bump": slope})
_bends = bind(_over_components, {"of_bump": bend})
_dtau = bind(_weighted, {"of_bump": height_dtau})
_dcenter = bind(_weighted, {"of_bump": height_dcenter})
_remainders = bind(_over_pairs, {"of_bumps": remainder})
_pairs_10 = bind(_over_pairs, {"of_bumps": covariance_10})
_pairs_20 = bind(_over_pairs, {"of_bumps": covariance_20})
_remainders_11 = bind(_over_pairs, {"of_bumps": remainder_11})
_pairs_11 = bind(_over_pairs, {"of_bumps": expectation_11})
_dtau_against = bind(_weighted_against, {"of_bumps": covariance_dtau})
_dcenter_against = bind(_weighted_against, {"of_bumps": covariance_dcenter})
_common_remainders = bind(_over_pairs, {"of_bumps": common_remainder})
_common_dmu = bind(_over_pairs, {"of_bumps": common_covariance_dmu})
_common_dvar = bind(_over_pairs, {"of_bumps": common_remainder_dvar})
_common_against = bind(_component_against, {"of_bumps": common_covariance})
_common_dtau = bind(_weighted_against, {"of_bumps": common_covariance_dtau})
_common_dcenter = bind(_weighted_against, {"of_bumps": common_covariance_dcenter})
