"""Mixtures with more components than a ufunc has operands: sums in 40 digits, and the number of compilations."""

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from fastmoments_kernels.cpu.components import kept, padded

EPS = float(np.finfo(np.float64).eps)
COUNT = 21  # with mu, var and the mean one component more than 64 operands have room for
MU, COV = np.array([0.25, -0.5, 1.0]), np.array([[1.0, 0.75, -0.25], [0.75, 2.0, 0.5], [-0.25, 0.5, 0.5]])
_draw = np.random.default_rng(4)
MIXTURE = {
    "weights": _draw.normal(size=COUNT),
    "taus": _draw.uniform(0.25, 2.0, COUNT),
    "centers": _draw.normal(size=COUNT),
}


def bumps(mu, cov):
    """The expectations of all components, or of all pairs of them, by determinant and inverse of I + tau cov."""
    taus, centers = (list(map(mpf, MIXTURE[key])) for key in ("taus", "centers"))

    def expected(*which):
        joint = mp.matrix(len(which))
        for a, i in enumerate(which):
            for b in range(len(which)):
                joint[a, b] = mpf(cov[a][b]) + (1 / taus[i] if a == b else 0)
        offset = mp.matrix([mpf(mu[a]) - centers[i] for a, i in enumerate(which)])
        scale = mp.sqrt(mp.det(joint) * mp.fprod(taus[i] for i in which))
        return mp.exp(-(offset.T * mp.inverse(joint) * offset)[0] / 2) / scale

    if len(mu) == 1:
        return [expected(i) for i in range(COUNT)]
    return [[expected(i, k) for k in range(COUNT)] for i in range(COUNT)]


def mean(mu, var):
    """E f(X), and the sum of its terms' sizes."""
    terms = [mpf(w) * x for w, x in zip(MIXTURE["weights"], bumps([mu], [[var]]), strict=True)]
    return mp.fsum(terms), mp.fsum(map(abs, terms))


def cov(i, j):
    """Cov(f(X_i), f(X_j)), and the sum of its terms' sizes."""
    apart = [bumps([MU[k]], [[COV[k, k]]]) for k in (i, j)]
    both = bumps([MU[i], MU[j]], [[COV[i, i], COV[i, j]], [COV[i, j], COV[j, j]]])
    weights = list(map(mpf, MIXTURE["weights"]))
    terms = [
        weights[a] * weights[b] * (both[a][b] - apart[0][a] * apart[1][b])
        for a in range(COUNT)
        for b in range(COUNT)
    ]
    return mp.fsum(terms), mp.fsum(map(abs, terms))


def close(got, truth):
    """Assert the contract for every term: 8 eps with condition numbers of order one, some ten roundings."""
    value, size = truth
    assert abs(got - float(value)) <= 80 * EPS * float(size)


@mp.workdps(40)
def test_mean_of_many_components():
    found = fm.gaussian_mixture_mean(MU, np.diag(COV), **MIXTURE)
    for i in range(3):
        close(found[i], mean(MU[i], COV[i, i]))
    own = {key: np.tile(value, (3, 1)) for key, value in MIXTURE.items()}
    assert np.array_equal(fm.gaussian_mixture_mean(MU, np.diag(COV), **own), found)
    assert type(fm.gaussian_mixture_mean(0.25, 1.0, **MIXTURE)) is np.float64
    assert fm.gaussian_mixture_mean(MU[:, None], np.ones((1, 2), np.float64), **MIXTURE).shape == (3, 2)
    with pytest.raises(TypeError, match="where: functions of mixtures with this many components are no ufuncs"):
        fm.gaussian_mixture_mean(MU, np.diag(COV), **MIXTURE, where=MU > 0.0)


@mp.workdps(40)
def test_cov_of_many_components():
    found = fm.gaussian_mixture_cov(MU[0], MU[1], COV[0, 0], COV[1, 1], COV[0, 1], **MIXTURE)
    close(found, cov(0, 1))
    # a pair of mixtures with 9 and 21 components; the missing ones have weight 0
    few = {key: (value[:9], value) for key, value in MIXTURE.items()}
    few["weights"] = (np.append(MIXTURE["weights"][:9], np.zeros(12)), MIXTURE["weights"])
    few |= {key: (MIXTURE[key], MIXTURE[key]) for key in ("taus", "centers")}
    one = fm.gaussian_mixture_cov(MU[0], MU[1], COV[0, 0], COV[1, 1], COV[0, 1], **few)
    two = [few[key][::-1] for key in MIXTURE]
    two = fm.gaussian_mixture_cov(
        MU[1], MU[0], COV[1, 1], COV[0, 0], COV[0, 1], **dict(zip(MIXTURE, two, strict=True))
    )
    assert one == two != found


@pytest.mark.slow  # compiles six functions
@mp.workdps(40)
def test_every_function_of_many_components():
    matrix = fm.gaussian_mixture_moments(MU, COV, **MIXTURE)
    for i in range(3):
        close(matrix.mean[i], mean(MU[i], COV[i, i]))
        for j in range(i, 3):
            close(matrix.cov[i, j], cov(i, j))
    for i in range(3):
        close(fm.gaussian_mixture_var(MU[i], COV[i, i], **MIXTURE), cov(i, i))
    slopes = [mp.diff(lambda m: mean(m, COV[0, 0])[0], MU[0]), mp.diff(lambda v: mean(MU[0], v)[0], COV[0, 0])]
    gain = fm.gaussian_mixture_gain(MU[0], COV[0, 0], **MIXTURE)
    size = mean(MU[0], COV[0, 0])[1]
    close(gain, (slopes[0], size))
    bars = np.array([1.0, 0.0, 0.0]), np.zeros((3, 3))
    mu_bar, cov_bar, along = fm.gaussian_mixture_moments_vjp(MU, COV, *bars, return_parameters=True, **MIXTURE)
    close(mu_bar[0], (slopes[0], size))
    close(cov_bar[0, 0], (slopes[1], size))
    assert all(x.shape == (3, COUNT) for x in along.values())
    for k, height in enumerate(bumps([MU[0]], [[COV[0, 0]]])):
        close(along["weights"][0, k], (height, height))


@pytest.mark.slow  # compiles the derivatives along the parameters
def test_tensors_of_many_components():
    torch = pytest.importorskip("torch")
    own = {key: torch.tensor(value, requires_grad=True) for key, value in MIXTURE.items()}
    pair = [torch.tensor(x) for x in (MU[0], MU[1], COV[0, 0], COV[1, 1], COV[0, 1])]
    value = fm.gaussian_mixture_cov(*pair, **own)
    found = torch.autograd.grad(value, list(own.values()))
    bar = np.zeros((3, 3))
    bar[0, 1] = bar[1, 0] = 0.5
    along = fm.gaussian_mixture_moments_vjp(MU, COV, np.zeros(3), bar, return_parameters=True, **MIXTURE)
    for got, want in zip(found, along.parameters_bar.values(), strict=True):
        # two kernels' sums over 21 components of order one
        np.testing.assert_allclose(got.numpy(), want.sum(axis=0), rtol=0, atol=200 * EPS)


def test_padding_changes_none_that_was_given():
    for count, made in ((1, 1), (8, 8), (9, 16), (16, 16), (17, 32)):
        for neurons in (1, 2):
            given = [np.float64(i + 1) for i in range(3 * count * neurons)]
            whole = padded("gaussian_mixture", given, neurons)
            assert len(whole) == 3 * made * neurons
            assert kept("gaussian_mixture", whole, len(given)) == tuple(given)
            amplitudes, taus = whole[count * neurons : made * neurons], whole[made * neurons :]
            assert not any(amplitudes)
            last = given[(2 * count - 1) * neurons : 2 * count * neurons]
            assert list(taus[count * neurons : made * neurons]) == last * (made - count)
    assert padded("npn", (1.0, 2.0)) == (1.0, 2.0) and padded("relu", ()) == ()


def test_warm_up_takes_a_mixture_and_not_its_name():
    with pytest.raises(ValueError, match="weights"):
        fm.warm_up("gaussian_mixture")
