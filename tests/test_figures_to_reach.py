"""The explanations of `make bench` beside its figures: numbers that are counted and timed in the same run."""

from itertools import count

import numpy as np
import pytest

pytest.importorskip("threadpoolctl")
pytest.importorskip("torch")

from benchmarks import counts, targets  # noqa: E402
from fastmoments_kernels.formulas import bivariate  # noqa: E402


def test_what_limits_a_figure_is_said_by_numbers_of_its_run(monkeypatch):
    monkeypatch.setattr(targets, "SECONDS", 0.0)
    done = []
    target = targets.Target(
        *("what", "reference", 0.5, "{terms:.1f} terms, {rest:.0%} of the time"),
        lambda: (lambda: done.append("ours"), 2.0),
        # every call takes one tick
        count().__next__,
        lambda: {"terms": 12.34},
        lambda: {"rest": lambda: done.append("rest")},
    )
    found = targets.measure(target)
    assert found["limit"] == "12.3 terms, 100% of the time"
    assert (found["ratio"], found["ms"], found["reference_ms"]) == (0.5, 1e3, 2e3)
    assert set(done) == {"ours", "rest"}


def test_every_limit_has_its_numbers():
    """Every name in braces is a count or a part; checked without running anything."""
    for target in targets.TARGETS:
        named = {"terms", "terms_32", "by_formula", "nodes", "rest", "products", "copy", "activation"}
        target.limit.format(**dict.fromkeys(named, 0.0))
        if "{" in target.limit:
            assert (target.counts, target.parts) != (dict, dict), target.what


def test_nodes_of_the_distribution_function():
    means, near, weak = np.ones(2), np.full(2, 0.9999), np.full(2, 0.01)
    assert counts.quadrature_nodes(means, means, near) == 0
    assert counts.quadrature_nodes(means, means, weak) == 2 * len(bivariate.SYMMETRIC[0])
    assert counts.quadrature_nodes(means, means, np.array([0.01, 0.9999])) == len(bivariate.SYMMETRIC[0])


@pytest.mark.slow
def test_terms_of_a_matrix():
    """One term where correlations are below eps, more for stronger ones, formulas where series are too long."""
    rng = np.random.default_rng(0)
    mu, root = rng.normal(size=96), rng.normal(size=(96, 48))
    full = root @ root.T / 48
    weak = np.where(np.eye(96, dtype=bool), full, 1e-17 * full)
    assert counts.series_terms("relu", mu, weak) == (1.0, 0.0)
    double, share = counts.series_terms("relu", mu, full)
    single, _ = counts.series_terms("relu", mu.astype(np.float32), full.astype(np.float32))
    assert 1 < single < double
    assert share == 0
    twice = np.repeat(np.repeat(full, 2, 0), 2, 1)
    _, share = counts.series_terms("relu", np.repeat(mu, 2), twice)
    # each neuron and its duplicate
    assert share == pytest.approx(1 / (2 * 96 - 1), rel=1e-9)
