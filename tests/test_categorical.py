"""One-hot vectors, and the rows of tables that they choose, against sums over all classes."""

import numpy as np
import pytest

import fastmoments as fm

EPS = np.finfo(float).eps


def probabilities(*shape, seed=0):
    weights = np.random.default_rng(seed).uniform(size=shape)
    return weights / weights.sum(-1, keepdims=True)


def by_classes(p, rows):
    """Mean and covariance of rows[c] for a class c with probabilities p, one class after another."""
    mean = sum(p[c] * rows[c] for c in range(len(p)))
    return mean, sum(p[c] * np.outer(rows[c] - mean, rows[c] - mean) for c in range(len(p)))


def test_moments_are_sums_over_all_classes():
    p = probabilities(3, 4)
    mean, cov = fm.categorical_moments(p)
    for row in range(3):
        truth = by_classes(p[row], np.eye(4))
        np.testing.assert_allclose(mean[row], truth[0], rtol=2 * EPS)
        np.testing.assert_allclose(cov[row], truth[1], rtol=8 * EPS, atol=2 * EPS)
    assert np.array_equal(cov, cov.swapaxes(-1, -2))
    assert mean is not p and not np.shares_memory(mean, p)


@pytest.mark.parametrize("library", ["torch", "jax", "dask"])
def test_every_library_has_the_same(library, jax_double_precision):
    p = probabilities(2, 3)
    if library == "torch":
        torch = pytest.importorskip("torch")
        given, back = torch.from_numpy(p), lambda x: x.numpy()
    elif library == "jax":
        given, back = pytest.importorskip("jax.numpy").asarray(p), np.asarray
    else:
        given, back = pytest.importorskip("dask.array").from_array(p, chunks=(1, 2)), lambda x: x.compute()
    found, truth = fm.categorical_moments(given), fm.categorical_moments(p)
    assert type(found.mean) is type(found.cov) is type(given)
    for one, two in zip(found, truth, strict=True):
        np.testing.assert_allclose(back(one), two, rtol=2 * EPS)


def test_jax_transforms_it(jax_double_precision):
    jax = pytest.importorskip("jax")
    p = jax.numpy.asarray(probabilities(2, 3))
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda x: fm.categorical_moments(x).cov)))(p)
    truth = np.einsum("ij,ik->ijk", np.eye(3), np.eye(3))[None] - np.einsum("bi,jk->bijk", p, np.eye(3))
    np.testing.assert_allclose(slopes, truth - np.einsum("bj,ik->bijk", p, np.eye(3)), atol=1e-15)


def test_variances_keep_their_digits_near_certainty():
    p = np.array([1.0 - 2.0**-40, 2.0**-40])
    np.testing.assert_allclose(fm.categorical_moments(p).cov[0, 0], 2.0**-40 * (1.0 - 2.0**-40), rtol=2 * EPS)
    assert not fm.categorical_moments(np.array([0.0, 1.0, 0.0])).cov.any()
    assert fm.categorical_moments(np.ones((2, 1))).cov.tolist() == [[[0.0]], [[0.0]]]
    assert fm.categorical_moments(np.ones((0, 2)) / 2).cov.shape == (0, 2, 2)
    single = fm.categorical_moments(np.array([0.25, 0.75], np.float32))
    assert single.cov.dtype == np.float32 and single.cov.tolist() == [[0.1875, -0.1875], [-0.1875, 0.1875]]


@pytest.mark.parametrize("p", [[0.5, 0.6], [-0.1, 1.1], np.ones(0), 1.0])
def test_what_are_no_probabilities_is_refused(p):
    with pytest.raises(ValueError, match="probabilities: expected"):
        fm.categorical_moments(np.array(p))
    rows = fm.categorical_moments(np.array([[np.nan, 1.0], [0.5, 0.5]])).cov
    assert np.isnan(rows[0]).any() and rows[1].tolist() == [[0.25, -0.25], [-0.25, 0.25]]


@pytest.fixture
def nn(double_precision):
    return pytest.importorskip("torch").nn


def test_embeddings_choose_rows(nn):
    import torch

    torch.manual_seed(0)
    table, p = nn.Embedding(4, 3, sparse=True), probabilities(2, 4)
    one_hot = fm.categorical_moments(torch.from_numpy(p))
    found = fm.propagate(table, *one_hot)
    diagonal = fm.propagate(table, one_hot.mean, one_hot.cov.diagonal(dim1=-2, dim2=-1), covariance="diagonal")
    rows = table.weight.detach().numpy()
    for k in range(2):
        mean, cov = by_classes(p[k], rows)
        np.testing.assert_allclose(found.mean[k].detach(), mean, rtol=1e-13)
        np.testing.assert_allclose(found.cov[k].detach(), cov, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(diagonal.var[k].detach(), (p[k] * (1 - p[k])) @ rows**2, rtol=1e-13)
    # a one-hot vector without uncertainty is the row
    sure = fm.propagate(nn.Sequential(table, nn.Tanh()), torch.eye(4), torch.zeros(4, 4))
    torch.testing.assert_close(sure.mean, torch.tanh(table(torch.arange(4))))


def test_a_sequence_of_one_hot_vectors(nn):
    import torch

    table, p = nn.Embedding(3, 2), torch.from_numpy(probabilities(2, 3))
    one_hot = fm.categorical_moments(p)
    found = fm.propagate(nn.Sequential(table, nn.Flatten()), p[None], torch.block_diag(*one_hot.cov)[None])
    each = fm.propagate(table, *one_hot)
    torch.testing.assert_close(found.mean[0], each.mean.flatten())
    torch.testing.assert_close(found.cov[0], torch.block_diag(*each.cov))


def test_embeddings_have_gradients_but_for_the_padding(nn):
    import torch

    p = torch.from_numpy(probabilities(1, 3))
    for padding, has in ((None, [True, True, True]), (1, [True, False, True]), (-1, [True, True, False])):
        table = nn.Embedding(3, 2, padding_idx=padding)
        fm.propagate(table, *fm.categorical_moments(p)).cov.sum().backward()
        fm.propagate(table, *fm.categorical_moments(p)).mean.sum().backward()
        assert table.weight.grad.any(-1).tolist() == has

    def of_table(weight):
        one_hot = fm.categorical_moments(p)
        return fm.propagate(lambda x: nn.functional.embedding(x, weight), *one_hot).cov

    weight = torch.randn(3, 2)
    assert torch.autograd.gradcheck(of_table, weight.clone().requires_grad_())
    slopes = torch.autograd.functional.jacobian(of_table, weight)
    torch.testing.assert_close(torch.func.jacrev(of_table)(weight), slopes)


def test_embeddings_that_have_no_rule_are_named(nn):
    import torch

    one_hot = fm.categorical_moments(torch.full((1, 3), 1.0 / 3.0))
    for options, message in (
        ({}, "0: embedding: .* one-hot vectors of 4 elements"),
        ({"max_norm": 1.0}, "max_norm"),
        ({"scale_grad_by_freq": True}, "scale_grad_by_freq"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fm.propagate(nn.Sequential(nn.Embedding(4, 2, **options)), *one_hot)
