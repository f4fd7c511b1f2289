"""The mathematics, written once: scalar functions over the words of vocabulary.py, bound to a backend's own words.

An activation's file has the functions that `identity` lists. A backend calls `neuron` once per neuron and passes
the features that it returns to the others:

    one, two = neuron(mu_1, var_1, parameters_1), neuron(mu_2, var_2, parameters_2)
    mean(one), var(one), cov(one, two, cov_12, slack)

    identity                        the functions of an activation, in the simplest case
    relu, leaky_relu, abs           kinked lines; `ramp` has their shared integrals
    heaviside                       the step
    probit, bernoulli_probit, erf   smooth steps; `smooth_step` has their shared functions
    gelu                            x Phi(x); its integrals are in `gelu_integrals`
    sin, cos                        waves; `wave` has their shared functions
    gaussian, npn, npn_linear,      made of bumps: `bump` has the moments of one, `bump_pairs` those of two bumps of
    gaussian_mixture                two neurons, `common_bumps` those of two bumps of one neuron

    normal                          the univariate normal: density, distribution function, Mills ratios
    correlation, noisy              two neurons and their correlation, without and with noise of their own
    bivariate, near_one             integrals of the bivariate normal density, by quadrature and by a series
    orthant, bivariate_normal       P(X <= h, Y <= k), for the other formulas and for users
    scalars                         the functions of numbers that users call in their own kernels
"""
