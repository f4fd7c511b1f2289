"""Activations compare to one bool by their values, and have a hash if their values cannot change."""

import copy
import pickle

import numpy as np
import pytest

import fastmoments as fm

TWO = np.array([1.0, 2.0])


def assert_equal(one, two):
    assert (one == two) is True and (two == one) is True and (one != two) is False


def assert_differ(one, two):
    assert (one == two) is False and (two == one) is False and (one != two) is True


def kinds():
    """Constructors of two numbers that have no hash."""
    found = {"array": np.array, "list": list, "pair": lambda x: (np.array(x), 1.0)}
    for module, name in (("torch", "tensor"), ("jax.numpy", "asarray"), ("dask.array", "from_array")):
        found[module] = lambda x, module=module, name=name: getattr(pytest.importorskip(module), name)(np.array(x))
    return found


@pytest.mark.parametrize("kind", kinds())
def test_arrays(kind):
    made = kinds()[kind]
    one, two = (fm.NPN(tau=made([1.0, 2.0])) for _ in range(2))
    assert_equal(one, one)
    assert_equal(one, two)
    for other in (fm.NPN(), fm.NPN(tau=made([1.0, 3.0])), fm.NPN(tau=made([1.0])), fm.Gaussian(tau=one.tau), 1.0):
        assert_differ(one, other)
    with pytest.raises(TypeError, match="NPN: no hash where tau is of type"):
        hash(one)


def test_what_computes_another_thing_differs():
    """Parameters of another dtype or library differ: they need other arrays beside them."""
    torch = pytest.importorskip("torch")
    everyone = [
        fm.NPN(tau=tau) for tau in (TWO, TWO.astype(np.float32), torch.from_numpy(TWO), [1.0, 2.0], (1.0, 2.0))
    ]
    for i, one in enumerate(everyone):
        for other in everyone[:i]:
            assert_differ(one, other)
    assert_differ(fm.NPN(tau=np.float32(1.0)), fm.NPN())
    assert_differ(fm.ReLU(), fm.Heaviside())


@pytest.mark.parametrize("tau", [(1, 1.0), (1.0, np.float64(1.0)), ((1, 2), (1.0, 2.0)), (np.float32(0.1),) * 2])
def test_numbers_and_tuples_have_a_hash(tau):
    one, two = (fm.NPN(tau=value) for value in tau)
    assert_equal(one, two)
    assert hash(one) == hash(two) and {one: 1}[two] == 1


def test_mixtures_and_copies():
    mixture = fm.GaussianMixture(weights=TWO, taus=TWO)
    for other in (pickle.loads(pickle.dumps(mixture)), copy.deepcopy(mixture)):
        assert_equal(mixture, other)


def test_a_cache_by_activation_does_not_mix():
    jax = pytest.importorskip("jax")
    call = jax.jit(fm.marginals, static_argnums=0)
    for tau in (2.0, 3.0, 2.0):
        assert call(fm.NPN(tau=tau), 0.3, 1.0).mean == pytest.approx(fm.npn_mean(0.3, 1.0, tau=tau), rel=1e-6)
    assert call._cache_size() == 2
    with pytest.raises(Exception, match="hash"):
        call(fm.NPN(tau=TWO), 0.3, 1.0)
