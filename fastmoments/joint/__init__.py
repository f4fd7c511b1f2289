"""Moments of functions of several Gaussian variables jointly: products, maxima, norms, softmax, noise.

A function f: R^n -> R^k of X ~ N(mu, cov) has a mean, a covariance and the slope E Df(X), by which f(X) is
correlated with every Z that is jointly Gaussian with X: Cov(f(X), Z) = E Df(X) Cov(X, Z) (Stein).
"""
