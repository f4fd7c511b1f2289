"""Third and fourth cumulants of a network's values, and what they change of means and covariances.

All values here are standardised: a neuron's input is mu + sd Z, rho are correlations, and the cumulants of two
neurons are divided by their powers of sd. Arrays are (batch, n), and (batch, n, n) of pairs.

    slices      the cumulants with two equal indices that a step carries, and how large they may be
    correction  Edgeworth's: what they change of E f and Cov f
    own         the cumulants that the neurons f themselves have
    sources     those of values behind, by their responses to the neurons
    definite    covariances that stay positive semidefinite
"""
