"""Claims of checked answers: that they hold, as a statistic, and where points are fooled."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr
from scipy.stats import binom, norm

import fastmoments as fm
from fastmoments.checked.directions import spread_of
from fastmoments.checked.statistics import Estimates
from fastmoments.checked.weights import Start, weighed
from fastmoments.compare import Affine, Residual
from fastmoments.composed.exp import Exp
from tests.checked_networks import errors, network, quiet, sampled, unmet

EXP = Exp()


def held(seeds, samples, **options):
    """How many of the claims held: of means, of sds, of covariances."""
    found = []
    for seed in seeds:
        layers, mu, cov = network(seed)
        result = quiet(layers, mu, cov, seed=seed, **options)
        found.append(errors(result, sampled(layers, mu, cov, samples)) <= result.error)
    return np.sum(found, 0)


def assert_at_least(found, count, share):
    """Refuse, at a level of 1e-3 for each claim, that claims hold for this share of networks."""
    assert (binom.cdf(found, count, share) > 1e-3).all(), (found, count)


def test_claims_hold_for_95_of_100_networks():
    assert_at_least(held(range(40), 2**15, tol=0.05, most=2048), 40, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("tol", [0.02, 0.005])
def test_claims_hold_for_96_of_100_networks(tol):
    assert_at_least(held(range(100, 200), 2**19, tol=tol, most=2**14), 100, 0.96)


@pytest.mark.parametrize("jumps", [True, False])
@pytest.mark.parametrize("chance", [0.01, 0.003])
def test_claims_of_a_rare_jump_hold(chance, jumps):
    # all sequences agree by chance that 5 of 512 points are behind the jump, where 5.12 should be
    at = norm.isf(chance)
    layers = [Residual("heaviside", np.ones((1, 1)), [-at])] if jumps else lambda x: ndtr(1e4 * (x - at))
    truth = fm.Moments(np.array([chance]), np.array([[chance * (1.0 - chance)]]))
    found = [quiet(layers, np.zeros(1), np.eye(1), tol=0.05, most=2**15, seed=seed) for seed in range(16)]
    assert all(x.met for x in found)
    assert_at_least(np.sum([errors(x, truth) <= x.error for x in found], 0), 16, 0.95)


def test_a_start_that_is_very_far_off_is_left_out():
    # its square is infinite
    result = unmet([Residual(EXP, np.ones((1, 1)))], np.zeros(1), 18.0**2 * np.eye(1), tol=0.01, most=1024)
    assert np.isfinite(result.error).all() and (result.weight == 0.0).all()


def test_a_start_that_is_wrong_where_outputs_vary_little_does_not_rule():
    # exact for an output of variance 1, and four times the variance of the other
    rng = np.random.default_rng(0)
    covs = np.array([1.0, 1e-6]) * (1.0 + 0.01 * rng.standard_normal((8, 2)))
    found = Estimates(np.zeros((8, 2)), covs[:, None] * np.eye(2), 4096, 2e-16, 3.0 * np.array([1.0, 1e-6]), 3.0)
    start = Start(np.zeros(2), np.diag([1.0, 4e-6]), np.full(3, 0.01))
    assert weighed(found, start).error[1] < 0.05


def test_outputs_far_from_0_have_the_same_claims():
    for inputs in (1, 2):
        near, far = (
            fm.propagate(lambda x, c=c: np.sort(np.abs(x)) + c, np.zeros(inputs), np.eye(inputs), tol=0.02)
            for c in (0.0, 1e8)
        )
        assert far.count == near.count
        assert_allclose(far.error, near.error, rtol=1e-5)


def test_inputs_of_different_units_keep_their_variances():
    for cov in (np.diag([1e8, 1e-9]), np.array([[1e8, 0.1], [0.1, 1e-9]])):
        for options in ({}, {"tol": 0.01}):
            mean = fm.propagate([Residual("relu", np.array([[0.0, 1e4]]))], np.zeros(2), cov, **options).mean
            assert_allclose(mean, np.sqrt(0.1 / (2.0 * np.pi)), rtol=0.02)


def test_no_direction_of_many_is_lost_to_rounding():
    for cov in (np.eye(64), np.diag(np.geomspace(1e-12, 1e12, 64))):
        spread = spread_of(cov, 2.0**-10)
        assert_allclose(spread.root @ spread.root.T, cov, rtol=1e-12, atol=0.0)
        assert_allclose(spread.root.T @ spread.back, np.eye(64), rtol=0.0, atol=1e-12)


def test_identical_replicates_do_not_claim_an_error_of_0():
    # the second step changes nothing; every sequence has as many points on both sides of the first
    one = np.ones((1, 1))
    layers = [Residual("heaviside", one), Residual("heaviside", one, [-0.1])]
    result = fm.propagate(layers, np.zeros(1), one, tol=0.01)
    assert_allclose(result.mean, [0.5], atol=0.01)
    assert_allclose(result.cov, [[0.25]], atol=0.005)
    assert (result.error >= 1.0 / result.count).all()
    assert (errors(result, fm.Moments(np.array([0.5]), np.array([[0.25]]))) <= result.error).all()


def test_outputs_that_are_constant_are_not_judged():
    # the second output is 0 but for x < -20
    weight, bias = np.array([[1.0], [-1.0]]), np.array([0.0, -20.0])
    result = fm.propagate([Residual("relu", weight, bias)], np.zeros(1), np.eye(1), tol=0.02)
    assert result.met
    assert result.mean[1] == 0.0 and (result.cov[1] == 0.0).all()
    assert_allclose(result.cov[0, 0], 0.5 - 0.5 / np.pi, rtol=0.04)


def test_outputs_that_are_constant_may_be_any_number():
    # 0.1 is rounded; a row of 7 times it, too
    layers = [
        Residual("relu", np.array([[1.0], [0.0]]), np.array([0.0, 0.1])),
        Affine(np.array([[1.0, 0.0], [0.0, 7.0]])),
    ]
    result = fm.propagate(layers, np.zeros(1), np.eye(1), tol=0.02)
    assert result.met and result.mean[1] == pytest.approx(0.7, rel=1e-15)
    assert result.cov[1, 1] < 1e-30
