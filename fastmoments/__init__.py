"""Exact means and covariances of neural-network activations of Gaussian inputs.

>>> import fastmoments as fm
>>> mean, cov = fm.relu_moments([0.0, 1.0], [[1.0, 0.5], [0.5, 2.0]])

CONTRIBUTING.md, "Where things are", follows the call through the files. `__init__.pyi`, written by
`tools/public_types.py`, is what type checkers read instead of this one.
"""

__version__ = "0.1.0"

from importlib import import_module as _import_module
from typing import Any as _Any

from fastmoments import njit as njit
from fastmoments import triton as triton
from fastmoments import ufuncs as ufuncs
from fastmoments.categorical import categorical_moments as categorical_moments
from fastmoments.checked.result import AccuracyWarning as AccuracyWarning
from fastmoments.checked.result import Checked as Checked
from fastmoments.checked.result import CheckedMarginals as CheckedMarginals
from fastmoments.checked.result import Corrected as Corrected
from fastmoments.composed.elu import CELU as CELU
from fastmoments.composed.elu import ELU as ELU
from fastmoments.composed.elu import SELU as SELU
from fastmoments.composed.exp import Exp as Exp
from fastmoments.composed.logistic import LogSigmoid as LogSigmoid
from fastmoments.composed.logistic import Sigmoid as Sigmoid
from fastmoments.composed.logistic import SiLU as SiLU
from fastmoments.composed.logistic import Softplus as Softplus
from fastmoments.composed.logistic import Tanh as Tanh
from fastmoments.composed.piecewise import HardShrink as HardShrink
from fastmoments.composed.piecewise import HardSigmoid as HardSigmoid
from fastmoments.composed.piecewise import HardTanh as HardTanh
from fastmoments.composed.piecewise import Piecewise as Piecewise
from fastmoments.composed.piecewise import ReLU6 as ReLU6
from fastmoments.composed.piecewise import SoftShrink as SoftShrink
from fastmoments.composed.piecewise import Threshold as Threshold
from fastmoments.composed.polynomial import Polynomial as Polynomial
from fastmoments.cross import cross_cov as cross_cov
from fastmoments.dispatch import Plan as Plan
from fastmoments.dispatch import plan as plan
from fastmoments.dual import dual as dual
from fastmoments.elementwise import cov as cov
from fastmoments.elementwise import cov_partials as cov_partials
from fastmoments.elementwise import curvature as curvature
from fastmoments.elementwise import gain as gain
from fastmoments.elementwise import marginals as marginals
from fastmoments.elementwise import mean as mean
from fastmoments.elementwise import var as var
from fastmoments.functions import functions_composed as _composed
from fastmoments.functions import functions_of as _functions_of
from fastmoments.functions import functions_to_tolerance as _to_tolerance
from fastmoments.layers import affine_moments as affine_moments
from fastmoments.layers import bayes_linear_marginals as bayes_linear_marginals
from fastmoments.layers import bayes_linear_moments as bayes_linear_moments
from fastmoments.layers import residual_moments as residual_moments
from fastmoments.moments import moments as moments
from fastmoments.moments import moments_vjp as moments_vjp
from fastmoments.normal import bivariate_normal_cdf as bivariate_normal_cdf
from fastmoments.normal import bivariate_normal_cdf_partials as bivariate_normal_cdf_partials
from fastmoments.normal import log_bivariate_normal_cdf as log_bivariate_normal_cdf
from fastmoments.normal import log_bivariate_normal_cdf_partials as log_bivariate_normal_cdf_partials
from fastmoments.results import CdfPartials as CdfPartials
from fastmoments.results import CovPartials as CovPartials
from fastmoments.results import Dual as Dual
from fastmoments.results import Marginals as Marginals
from fastmoments.results import Moments as Moments
from fastmoments.results import MomentsBound as MomentsBound
from fastmoments.results import MomentsCross as MomentsCross
from fastmoments.results import MomentsVjp as MomentsVjp
from fastmoments.results import MomentsVjpParameters as MomentsVjpParameters
from fastmoments.warming import warm_up as warm_up
from fastmoments_kernels.catalogue import GELU as GELU
from fastmoments_kernels.catalogue import NPN as NPN
from fastmoments_kernels.catalogue import Abs as Abs
from fastmoments_kernels.catalogue import BernoulliProbit as BernoulliProbit
from fastmoments_kernels.catalogue import Cos as Cos
from fastmoments_kernels.catalogue import Erf as Erf
from fastmoments_kernels.catalogue import Gaussian as Gaussian
from fastmoments_kernels.catalogue import GaussianMixture as GaussianMixture
from fastmoments_kernels.catalogue import Heaviside as Heaviside
from fastmoments_kernels.catalogue import LeakyReLU as LeakyReLU
from fastmoments_kernels.catalogue import NPNLinear as NPNLinear
from fastmoments_kernels.catalogue import Probit as Probit
from fastmoments_kernels.catalogue import ReLU as ReLU
from fastmoments_kernels.catalogue import Sin as Sin
from fastmoments_kernels.custom import Custom as Custom
from fastmoments_kernels.custom import ToleranceError as ToleranceError
from fastmoments_kernels.serving.compilation import compilation as compilation
from fastmoments_kernels.serving.compilation import set_compilation as set_compilation
from fastmoments_kernels.threads import num_threads as num_threads
from fastmoments_kernels.threads import set_num_threads as set_num_threads

(
    relu_moments,
    relu_marginals,
    relu_mean,
    relu_var,
    relu_gain,
    relu_cov,
    relu_cov_partials,
    relu_moments_vjp,
) = _functions_of(ReLU)
(
    heaviside_moments,
    heaviside_marginals,
    heaviside_mean,
    heaviside_var,
    heaviside_gain,
    heaviside_cov,
    heaviside_cov_partials,
    heaviside_moments_vjp,
) = _functions_of(Heaviside)
(
    probit_moments,
    probit_marginals,
    probit_mean,
    probit_var,
    probit_gain,
    probit_cov,
    probit_cov_partials,
    probit_moments_vjp,
) = _functions_of(Probit)
(
    bernoulli_probit_moments,
    bernoulli_probit_marginals,
    bernoulli_probit_mean,
    bernoulli_probit_var,
    bernoulli_probit_gain,
    bernoulli_probit_cov,
    bernoulli_probit_cov_partials,
    bernoulli_probit_moments_vjp,
) = _functions_of(BernoulliProbit)
(
    erf_moments,
    erf_marginals,
    erf_mean,
    erf_var,
    erf_gain,
    erf_cov,
    erf_cov_partials,
    erf_moments_vjp,
) = _functions_of(Erf)
(
    leaky_relu_moments,
    leaky_relu_marginals,
    leaky_relu_mean,
    leaky_relu_var,
    leaky_relu_gain,
    leaky_relu_cov,
    leaky_relu_cov_partials,
    leaky_relu_moments_vjp,
) = _functions_of(LeakyReLU)
(
    abs_moments,
    abs_marginals,
    abs_mean,
    abs_var,
    abs_gain,
    abs_cov,
    abs_cov_partials,
    abs_moments_vjp,
) = _functions_of(Abs)
(
    gelu_moments,
    gelu_marginals,
    gelu_mean,
    gelu_var,
    gelu_gain,
    gelu_cov,
    gelu_cov_partials,
    gelu_moments_vjp,
) = _functions_of(GELU)
(
    sin_moments,
    sin_marginals,
    sin_mean,
    sin_var,
    sin_gain,
    sin_cov,
    sin_cov_partials,
    sin_moments_vjp,
) = _functions_of(Sin)
(
    cos_moments,
    cos_marginals,
    cos_mean,
    cos_var,
    cos_gain,
    cos_cov,
    cos_cov_partials,
    cos_moments_vjp,
) = _functions_of(Cos)
(
    npn_moments,
    npn_marginals,
    npn_mean,
    npn_var,
    npn_gain,
    npn_cov,
    npn_cov_partials,
    npn_moments_vjp,
) = _functions_of(NPN)
(
    gaussian_moments,
    gaussian_marginals,
    gaussian_mean,
    gaussian_var,
    gaussian_gain,
    gaussian_cov,
    gaussian_cov_partials,
    gaussian_moments_vjp,
) = _functions_of(Gaussian)
(
    gaussian_mixture_moments,
    gaussian_mixture_marginals,
    gaussian_mixture_mean,
    gaussian_mixture_var,
    gaussian_mixture_gain,
    gaussian_mixture_cov,
    gaussian_mixture_cov_partials,
    gaussian_mixture_moments_vjp,
) = _functions_of(GaussianMixture)
(
    npn_linear_moments,
    npn_linear_marginals,
    npn_linear_mean,
    npn_linear_var,
    npn_linear_gain,
    npn_linear_cov,
    npn_linear_cov_partials,
    npn_linear_moments_vjp,
) = _functions_of(NPNLinear)
(
    tanh_moments,
    tanh_marginals,
    tanh_mean,
    tanh_var,
    tanh_gain,
    tanh_cov,
    tanh_cov_partials,
    tanh_moments_vjp,
) = _composed(Tanh)
(
    sigmoid_moments,
    sigmoid_marginals,
    sigmoid_mean,
    sigmoid_var,
    sigmoid_gain,
    sigmoid_cov,
    sigmoid_cov_partials,
    sigmoid_moments_vjp,
) = _composed(Sigmoid)
(
    silu_moments,
    silu_marginals,
    silu_mean,
    silu_var,
    silu_gain,
    silu_cov,
    silu_cov_partials,
    silu_moments_vjp,
) = _composed(SiLU)
(
    softplus_moments,
    softplus_marginals,
    softplus_mean,
    softplus_var,
    softplus_gain,
    softplus_cov,
    softplus_cov_partials,
    softplus_moments_vjp,
) = _composed(Softplus)
(
    gelu_tanh_moments,
    gelu_tanh_marginals,
    gelu_tanh_mean,
    gelu_tanh_var,
    gelu_tanh_gain,
    gelu_tanh_cov,
    gelu_tanh_cov_partials,
    gelu_tanh_moments_vjp,
) = _to_tolerance("gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which approximates gelu")


def __getattr__(name: str) -> _Any:
    # imported on first use: fm.compare takes seconds for scipy.stats, fm.nn those of torch, networks 28 ms
    if name in ("compare", "nn"):
        return _import_module(f"fastmoments.{name}")
    if name in ("describe", "propagate"):
        return getattr(_import_module(f"fastmoments.graph.{name}"), name)
    from fastmoments.hints import no_attribute

    raise no_attribute("fastmoments", name, [*globals(), "compare", "nn", "describe", "propagate"])
