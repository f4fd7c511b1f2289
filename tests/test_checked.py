"""Checked answers: points, batches, seeds, scales, quantiles, and arguments that are refused."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastmoments as fm
from fastmoments.compare import Affine, Residual
from fastmoments.composed.exp import Exp
from tests.checked_networks import errors, network, quiet, sampled, unmet

EXP = Exp()
EVERY = Affine(np.ones((1, 1)))


def test_more_points_are_taken_until_the_claim_is_met():
    layers, mu, cov = network(0, inputs=4)
    rough, fine = (fm.propagate(layers, mu, cov, tol=tol) for tol in (0.05, 0.01))
    assert rough.met is True and fine.met is True
    assert rough.error.max() <= 0.05 and fine.error.max() <= 0.01
    assert rough.count < fine.count
    assert fine.points.shape == (fine.count, 4)
    assert_array_equal(fine.closure.mean, fm.propagate(layers, mu, cov).mean)
    assert_array_equal(fine.closure.cov, fm.propagate(layers, mu, cov).cov)


def test_an_answer_depends_on_its_seed_alone():
    layers, mu, cov = network(4, inputs=8)
    first, again, other = (fm.propagate(layers, mu, cov, tol=0.02, seed=seed) for seed in (3, 3, 4))
    for one, two in ((first.mean, again.mean), (first.cov, again.cov), (first.points, again.points)):
        assert_array_equal(one, two)
    assert not np.array_equal(first.points, other.points)


def test_inputs_of_a_batch_do_not_know_each_other():
    layers, mu, cov = network(1, inputs=4)
    mus = mu + np.arange(3.0)[:, None]
    covs = cov * np.array([1.0, 0.01, 4.0])[:, None, None]
    batch = fm.propagate(layers, mus, covs, tol=0.02)
    back = fm.propagate(layers, mus[::-1], covs[::-1], tol=0.02)
    assert len(set(batch.count.tolist())) > 1
    for k in range(3):
        alone = fm.propagate(layers, mus[k], covs[k], tol=0.02)
        assert batch.count[k] == back.count[2 - k] == alone.count
        for other in (back.points[2 - k], alone.points):
            assert_array_equal(batch.points[k], other)
        # starts of a batch come of products of other sizes
        assert_allclose(batch.mean[k], alone.mean, rtol=1e-13)
        assert_allclose(batch.cov[k], alone.cov, rtol=1e-12, atol=1e-15)
        assert_allclose(batch.error[k], alone.error, rtol=1e-9)
    assert batch.met.all() and batch.weight.shape == (3, 2)


def test_one_input_and_one_output():
    result = fm.propagate([Residual("relu", np.ones((1, 1)))], np.zeros(1), np.eye(1), tol=0.01)
    assert result.mean.shape == (1,) and result.cov.shape == (1, 1) and result.error.shape == (3,)
    # E max(Z, 0) and its variance
    assert_allclose(result.mean, 1.0 / np.sqrt(2.0 * np.pi), rtol=0.01)
    assert_allclose(result.cov, [[0.5 - 0.5 / np.pi]], rtol=0.02)


def test_a_batch_without_inputs():
    layers, mu, cov = network(0, inputs=2)
    result = fm.propagate(layers, np.zeros((0, 2)), np.zeros((0, 2, 2)), tol=0.1)
    assert result.mean.shape == (0, 4) and result.cov.shape == (0, 4, 4) and result.error.shape == (0, 3)
    assert result.points == () and len(result.met) == len(result.count) == 0
    assert result.met.dtype == bool and result.count.dtype == int and "error of mean 0 %" in repr(result)


@pytest.mark.parametrize("inputs", [2, 8])
def test_variances_alone(inputs):
    layers, mu, cov = network(2, inputs=inputs)
    var = np.diag(cov).copy()
    result = fm.propagate(layers, mu, var, "diagonal", tol=0.02)
    assert isinstance(result, fm.CheckedMarginals)
    truth = sampled(layers, mu, np.diag(var))
    sd = np.sqrt(np.diag(truth.cov))
    found = (
        np.sqrt(np.mean(((result.mean - truth.mean) / sd) ** 2)),
        np.sqrt(np.mean((np.sqrt(result.var) / sd - 1) ** 2)),
    )
    # the seed's claims hold
    assert result.met and result.error.shape == (2,) and (np.array(found) <= result.error).all()
    assert_array_equal(result.closure.var, fm.propagate(layers, mu, var, "diagonal").var)


def test_a_claim_that_is_not_met_says_what_it_would_take():
    layers, mu, cov = network(0, inputs=8)
    with pytest.warns(fm.AccuracyWarning, match="is not met") as record:
        result = fm.propagate(layers, mu, cov, tol=1e-3, most=1024)
    assert result.met is False and result.count == 1024 and result.error.max() > 1e-3
    assert record[0].filename == __file__
    needed = int(re.search(r"about most=([\d,]+)", str(record[0].message))[1].replace(",", ""))
    assert needed > 4 * 1024
    batch = unmet(layers, np.stack([mu, mu]), np.stack([cov, 0.0 * cov]), tol=2e-3, most=1024)
    assert batch.met.tolist() == [False, True]


def test_most_may_be_any_number_of_points():
    layers, mu, cov = network(0, inputs=8)
    assert unmet(layers, mu, cov, tol=1e-6, most=2047).count == 1024


def test_covariances_are_positive_semidefinite():
    for seed in range(8):
        layers, mu, cov = network(seed, inputs=1 + seed % 3, outputs=8)
        found = quiet(layers, mu, cov, tol=0.01, most=1024)
        values = np.linalg.eigvalsh(found.cov)
        assert values[0] >= -1e-13 * values[-1]


def test_an_input_without_variance_has_one_output():
    layers, mu, cov = network(0, inputs=2)
    result = fm.propagate(layers, mu, 0.0 * cov, tol=0.01)
    assert result.met and result.count == 512
    assert_allclose(result.mean, fm.compare.linearise(layers, mu, cov).mean, rtol=1e-13)
    assert (result.cov == 0.0).all()


def test_a_covariance_may_be_singular():
    layers, mu, cov = network(0, inputs=4)
    factor = np.linalg.cholesky(cov)[:, :1]
    along = [Affine(factor, mu), *layers]
    found = fm.propagate(layers, mu, factor @ factor.T, tol=0.01)
    truth = sampled(along, np.zeros(1), np.eye(1))
    assert found.met and (errors(found, truth) <= found.error).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_never_met(bad):
    layers, mu, cov = network(0, inputs=2)
    mus = np.stack([mu, np.array([bad, 0.0])])
    with pytest.warns(fm.AccuracyWarning, match="input 1: outputs at some of 512 points are not finite"):
        with np.errstate(invalid="ignore"):
            result = fm.propagate(layers, mus, cov, tol=0.05)
    assert result.met.tolist() == [True, False] and result.count[1] == 512
    assert (result.error[1] == np.inf).all() and np.isnan(result.mean[1]).any()


def test_what_is_no_covariance_is_refused():
    with pytest.raises(ValueError, match="cov: expected a positive semidefinite matrix, smallest eigenvalue -1"):
        fm.propagate([Affine(np.eye(2))], np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]), tol=0.01)


def test_scales_do_not_matter():
    layers, mu, cov = network(0, inputs=4)
    plain = fm.propagate(layers, mu, cov, tol=0.02)
    for scale in (1e-60, 1e60):
        last = layers[-1]._replace(weight=scale * layers[-1].weight, bias=scale * layers[-1].bias)
        scaled = fm.propagate([*layers[:-1], last], mu, cov, tol=0.02)
        assert scaled.count == plain.count
        assert_allclose(scaled.mean, scale * plain.mean, rtol=1e-10)
        assert_allclose(scaled.error, plain.error, rtol=1e-6)


# the result


def test_quantiles_are_those_of_the_points():
    layers, mu, cov = network(0, inputs=2)
    one, batch = fm.propagate(layers, mu, cov, tol=0.05), fm.propagate(layers, np.stack([mu, mu]), cov, tol=0.05)
    assert_allclose(one.quantile([0.1, 0.5]), np.quantile(one.points, [0.1, 0.5], axis=0), rtol=1e-15)
    assert one.quantile(0.5).shape == (4,)
    assert_array_equal(batch.quantile([0.1, 0.5])[1], one.quantile([0.1, 0.5]))
    assert_array_equal(one.quantile([[0.1], [0.5]])[:, 0], one.quantile([0.1, 0.5]))
    for bad in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="q: expected levels from 0 to 1"):
            one.quantile(bad)


def test_results_say_what_they_are():
    layers, mu, cov = network(0, inputs=4)
    result = fm.propagate(layers, mu, cov, tol=0.05)
    assert repr(result).startswith(f"Checked(met=True, count={result.count}, error of mean ")
    assert "error of mean" in repr(fm.propagate(layers, mu[None], np.diag(cov)[None], "diagonal", tol=0.05))
    many = fm.propagate(layers, np.stack([mu] * 20), cov, tol=0.05)
    assert repr(many).startswith(f"Checked(met=all True, count=all {result.count}, ")
    mean, found_cov, *_ = result
    assert mean is result.mean and found_cov is result.cov


def test_cumulants_alone_are_unchecked():
    layers, mu, cov = network(1, inputs=8, depth=3, width=32)
    found = fm.propagate(layers, mu, cov, cumulants=True)
    assert isinstance(found, fm.Corrected) and "unchecked" in repr(found) and found.small
    truth, closure = sampled(layers, mu, cov), fm.propagate(layers, mu, cov)
    assert (errors(found, truth) < errors(closure, truth)).all()
    assert_array_equal(found.closure.cov, closure.cov)


def test_a_correction_that_is_not_small_says_so():
    layers, mu, cov = network(0, inputs=1, depth=4, width=2)
    with pytest.warns(fm.AccuracyWarning, match="is not small, .* tol= checks") as record:
        found = fm.propagate(layers, mu, cov, cumulants=True)
    assert not found.small and record[0].filename == __file__
    assert_array_equal(found.mean, found.closure.mean)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"covariance": "hybrid", "tol": 0.1},
            ValueError,
            'tol: needs covariance="full" or "diagonal", got "hybrid"',
        ),
        ({"bound": True, "tol": 0.1}, ValueError, "bound: .* leave out bound or tol"),
        ({"bound": True, "cumulants": True}, ValueError, "bound: .* leave out bound or cumulants"),
        ({"covariance": "diagonal", "cumulants": True}, ValueError, "cumulants: needs covariance"),
        ({"tol": 0.0}, ValueError, "tol: expected a number between 0 and 1"),
        ({"tol": float("nan")}, ValueError, "tol: expected a number between 0 and 1"),
        ({"tol": True}, ValueError, "tol: expected a number between 0 and 1"),
        ({"tol": 1}, ValueError, r"between 0 and 1, such as 0\.01 for 1 %, got 1; for 1 % tol=0\.01$"),
        ({"tol": 2.5}, ValueError, r"got 2\.5; for 2\.5 % tol=0\.025$"),
        ({"tol": -0.1}, ValueError, "tol: expected a number between 0 and 1.*got -0.1$"),
        ({"tol": float("inf")}, ValueError, "tol: expected a number between 0 and 1.*got inf$"),
        ({"tol": "1%"}, ValueError, "tol: expected a number between 0 and 1"),
        ({"tol": 0.1, "most": 511}, ValueError, "most: expected at least 512, got 511"),
        ({"tol": 0.1, "most": 1e6}, TypeError, "most: expected an integer"),
        ({"tol": 0.1, "seed": 1.5}, TypeError, "seed: expected an integer, got 1.5"),
        ({"tol": 0.1, "seed": -1}, ValueError, "seed: expected at least 0"),
    ],
)
def test_arguments_are_refused_by_name(options, kind, message):
    with pytest.raises(kind, match=message):
        fm.propagate([EVERY], np.zeros(1), np.ones((1, 1)), **options)


def test_numbers_of_numpy_are_numbers():
    assert fm.propagate([EVERY], np.zeros(1), np.ones((1, 1)), tol=np.float32(0.1), most=np.int64(512)).met


def test_complex_outputs_are_refused():
    with pytest.raises(TypeError, match="model: it returns complex numbers; return their real and imaginary parts"):
        fm.propagate(np.fft.fft, np.zeros(3), np.eye(3), tol=0.1)
