"""Code as users write it, for test_typing.py to check with mypy --strict, and for pyright. Nothing here runs."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from numpy.typing import NDArray
from typing_extensions import assert_type

import fastmoments as fm

assert_type(fm.__version__, str)

vector: NDArray[np.float64] = np.zeros(3)
matrix: NDArray[np.float64] = np.eye(3)
assert_type(fm.relu_moments(vector, matrix), fm.Moments[NDArray[np.float64]])
assert_type(fm.moments(fm.NPN(tau=2.0), vector, matrix).cov, NDArray[np.float64])
assert_type(fm.npn_mean(vector, 1.0, tau=2.0), NDArray[np.float64])
assert_type(fm.gaussian_mixture_mean(vector, 1.0, weights=[1.0, 2.0], taus=(1.0, 1.0)), NDArray[np.float64])
assert_type(fm.relu_moments([0.0, 1.0], [[1.0, 0.5], [0.5, 1.0]]), fm.Moments[NDArray[Any]])
assert_type(fm.bivariate_normal_cdf(0.5, 0.25, 0.5), NDArray[Any])

x, square = torch.zeros(3), torch.eye(3)
mean, cov = fm.relu_moments(x, square)
assert_type(cov, torch.Tensor)
assert_type(fm.gelu_mean(torch.nn.Parameter(x), torch.nn.Parameter(x)), torch.Tensor)
assert_type(fm.npn_mean(0.0, 1.0, tau=torch.nn.Parameter(x)), torch.Tensor)
assert_type(fm.npn_cov(x, 0.0, 1.0, 1.0, 0.5, tau=(x, 2.0)), torch.Tensor)
assert_type(fm.relu_moments_vjp(x, square, x, square), fm.MomentsVjp[torch.Tensor])
with_parameters = fm.npn_moments_vjp(x, square, x, square, return_parameters=True, tau=x)
assert_type(with_parameters, fm.MomentsVjpParameters[torch.Tensor])
assert_type(fm.affine_moments(x, square, square), fm.Moments[torch.Tensor])
assert_type(fm.affine_moments(x, square, square, return_cross=True), fm.MomentsCross[torch.Tensor])
assert_type(fm.residual_moments("relu", x, square, square, C="identity").mean, torch.Tensor)
assert_type(fm.bayes_linear_moments(x, square, square, square, return_cross=True).cross, torch.Tensor)
assert_type(fm.bayes_linear_marginals(x, x, square, square), fm.Marginals[torch.Tensor])

normal = torch.distributions.MultivariateNormal(x, square)
assert_type(fm.moments("relu", normal), fm.Moments[Any])
assert_type(fm.dual("relu", x, x, 0.5), fm.Dual[torch.Tensor])
assert_type(fm.dual("relu", vector, 1.0, 0.5).slope, NDArray[np.float64])

model = torch.nn.Sequential(fm.nn.BayesLinear(3, 2), fm.nn.Activation(fm.NPN(), learnable=("tau",)))
assert_type(fm.nn.propagate(model, x, square), fm.Moments[torch.Tensor])
assert_type(fm.nn.propagate(model, x, square, "full", bound=True), fm.MomentsBound[torch.Tensor])
assert_type(fm.nn.propagate(model, x, x, covariance="diagonal"), fm.Marginals[torch.Tensor])
assert_type(fm.nn.propagate(model, x, x, covariance="hybrid").cov, torch.Tensor)
assert_type(fm.nn.propagate(model, x, square, cumulants=True), fm.Corrected[torch.Tensor])
assert_type(fm.nn.propagate(model, x, square, tol=0.01), fm.Checked[torch.Tensor])
assert_type(fm.nn.propagate(model, x, square, tol=0.01).quantile(0.5), torch.Tensor)
assert_type(fm.nn.propagate(model, x, x, "diagonal", tol=0.01), fm.CheckedMarginals[torch.Tensor])
assert_type(fm.propagate(model, x, square), fm.Moments[torch.Tensor])
assert_type(fm.propagate(model, x, x, "diagonal").var, torch.Tensor)
assert_type(fm.propagate(jnp.tanh, jnp.zeros(3), jnp.eye(3)), fm.Moments[Array])
assert_type(fm.propagate(object(), vector, matrix, tol=0.01), fm.Checked[NDArray[np.float64]])
assert_type(fm.nn.BayesLinear(3, 2).moments(x, square), fm.Moments[torch.Tensor])
assert_type(fm.nn.BayesLinear(3, 2).marginals(x, x).var, torch.Tensor)
assert_type(fm.nn.kl_divergence(model), torch.Tensor)
assert_type(fm.nn.class_probabilities(x, square, link="argmax"), torch.Tensor)
assert_type(fm.nn.condition(x, square, observed=[0], values=[1.0]), fm.Moments[torch.Tensor])

layers: list[fm.compare.Affine | fm.compare.Residual] = [
    fm.compare.Residual("relu", matrix, C="identity"),
    fm.compare.Affine([[1.0, 0.0, 0.0]]),
]
assert_type(fm.compare.linearise(layers, vector, matrix), fm.Moments[NDArray[np.float64]])
assert_type(fm.compare.monte_carlo(layers, vector, matrix).cov, NDArray[np.float64])
assert_type(fm.compare.monte_carlo(layers, vector, matrix, return_error=True), fm.compare.MomentsWithError)
assert_type(fm.compare.analytic(layers, x, square), fm.Moments[torch.Tensor])
assert_type(float(fm.compare.wasserstein(fm.relu_moments(x, square), fm.relu_moments(vector, matrix))), float)

assert_type(fm.npn_marginals(jnp.zeros(3), jnp.ones(3)), fm.Marginals[Array])
assert_type(fm.relu_cov_partials(jnp.zeros(3), 0.0, 1.0, 1.0, 0.5).d_cov_12, Array)
assert_type(fm.bivariate_normal_cdf_partials(jnp.zeros(3), 0.0, 0.5), fm.CdfPartials[Array])

fm.relu_moments("mu", matrix)  # type: ignore[call-overload]
fm.relu_moments(vector)  # type: ignore[call-overload]
fm.leaky_relu_moments(vector, matrix, slope=0.1)  # type: ignore[call-overload]
fm.leaky_relu_mean(vector, 1.0, negative_slop=0.1)  # type: ignore[call-arg]
fm.relu_cov(vector, 0.0, 1.0, 1.0, 0.5, negative_slope=0.1)  # type: ignore[call-arg]
fm.gaussian_mixture_var(vector, 1.0, weights=[1.0])  # type: ignore[call-arg]
fm.propagate(model, x, square, slope=0.1)  # type: ignore[call-overload]
fm.dual("relu", x, x, x, slope=0.1)  # type: ignore[call-arg]
fm.relu_momens(vector, matrix)  # type: ignore[attr-defined]
fm.compare.linearize(layers, vector, matrix)  # type: ignore[attr-defined]
fm.compare.unscented(layers, vector, matrix, weights="1996")  # type: ignore[arg-type]
fm.nn.propagate(model, x, x, covariance="diag")  # type: ignore[call-overload]
fm.nn.propagate(model, x, x, covariance="diagonal", bound=True)  # type: ignore[call-overload]
fm.nn.propagate(model, x, x, covariance="hybrid", tol=0.1)  # type: ignore[call-overload]
fm.nn.propagate(model, vector, 1.0)  # type: ignore[call-overload]
fm.nn.BayesLinear(3, 2, prior=1.0)  # type: ignore[call-arg]
