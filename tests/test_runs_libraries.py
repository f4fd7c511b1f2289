"""JAX functions, lists of layers, models of scikit-learn and functions of NumPy arrays at many points."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.checked import runs
from tests.model_runs import run_of

CLOSE = dict(rtol=1e-13, atol=1e-13)


def points(rows, n=3):
    return np.random.default_rng(rows).normal(size=(rows, n))


def test_functions_of_jax_have_their_own_values(jax_double_precision, monkeypatch):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    w, x = jnp.asarray(points(3)), jnp.asarray(points(50))

    def of_one(x):
        return {"b": jnp.tanh(x @ w), "a": (x**2).sum()}

    def of_batch(x):
        return {"b": jnp.tanh(x @ w), "a": (x**2).sum(1)}

    wanted = jax.vmap(of_one)(x)
    flat = jnp.concatenate([wanted["a"][:, None], wanted["b"]], 1)
    monkeypatch.setattr(runs, "ON_CPU", 64)
    for model, mu in ((of_one, jnp.zeros(3)), (of_batch, jnp.zeros((1, 3)))):
        for graph in (True, False):
            run = run_of(model, mu, graph=graph)
            assert run.most < 50 and run.draws == 0 and run.jumps is (False if graph else None)
            for rows in (0, 1, 50):
                np.testing.assert_allclose(run([x[:rows]]), flat[:rows], **CLOSE)
            built = run.rebuild(flat, mu.ndim == 1)
            lead = () if mu.ndim == 1 else (50,)
            assert built["a"].shape == lead and built["b"].shape == (*lead, 3)
            np.testing.assert_array_equal(built["b"], flat[0, 1:] if mu.ndim == 1 else flat[:, 1:])


def test_more_points_compile_nothing_anew(jax_double_precision):
    jax = pytest.importorskip("jax")
    jnp, traces = jax.numpy, []

    def model(x):
        traces.append(x.shape)
        return jnp.sort(x)

    run = run_of(model, jnp.zeros(3), graph=False)
    run([jnp.asarray(points(600))])
    before = len(traces)
    for rows in (16, 600, 1200, 5000):
        x = jnp.asarray(points(rows))
        np.testing.assert_array_equal(run([x]), np.sort(x))
    assert len(traces) == before


@pytest.mark.parametrize("graph", [True, False])
def test_gradients_of_jax_are_those_of_the_model(graph, jax_double_precision):
    jax = pytest.importorskip("jax")
    jnp, x = jax.numpy, jax.numpy.asarray(points(20))

    def loss(w, x, through):
        def model(x):
            return jnp.log(jnp.abs(x @ w))  # infinite where rows are filled up with zeros

        y = run_of(model, jnp.ones(3), graph=graph)([x]) if through else jax.vmap(model)(x)
        return (y**2).mean()

    w = jnp.asarray(points(3)[:, :2])
    wanted = jax.grad(loss, (0, 1))(w, x, False)
    for transform in (lambda f: f, lambda f: jax.jit(f, static_argnums=2)):
        found = transform(jax.grad(loss, (0, 1)))(w, x, True)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_functions_of_jax_that_draw_or_mix_rows_are_refused(jax_double_precision):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    with pytest.raises(TypeError, match="the function draws random numbers"):
        run_of(lambda x: jnp.sort(x) + jax.random.normal(jax.random.key(0)), jnp.zeros(3), graph=False)
    with pytest.raises(ValueError, match="the rows of a batch must not meet"):
        run_of(lambda x: jnp.sort(x) - x.mean(0), jnp.zeros((1, 3)), graph=False)


def test_control_flow_of_jax_is_that_of_one_row(jax_double_precision):
    jax = pytest.importorskip("jax")
    jnp, x = jax.numpy, jax.numpy.asarray(points(30))

    def model(x):
        return jax.lax.cond(x.sum() > 0.0, lambda x: x, lambda x: -x, x)

    wanted = np.where(x.sum(1, keepdims=True) > 0.0, x, -x)
    np.testing.assert_array_equal(run_of(model, jnp.zeros(3), graph=False)([x]), wanted)


def layers(made):
    return [
        fm.compare.Affine(made(points(4)), made(points(4)[:, 0])),
        fm.compare.Residual("relu", made(points(4, 4)), C="identity"),
        fm.compare.Residual(fm.GELU(), made(points(2, 4)), made(points(2)[:, 0])),
    ]


def test_lists_have_the_values_of_their_layers(jax_double_precision):
    from scipy.special import ndtr

    x = points(40)
    h = x @ points(4).T + points(4)[:, 0]
    h = np.maximum(h @ points(4, 4).T, 0.0) + h
    g = h @ points(2, 4).T + points(2)[:, 0]
    made = [np.asarray]
    if torch := pytest.importorskip("torch"):
        made.append(torch.from_numpy)
    made.append(pytest.importorskip("jax").numpy.asarray)
    for library in made:
        run = run_of(layers(library), library(np.zeros(3)))
        np.testing.assert_allclose(np.asarray(run([library(x)])), g * ndtr(g), rtol=1e-12, atol=1e-12)
        assert run.jumps is False and run.rebuild(library(g), True).shape == (2,)


def test_lists_that_jump_say_so():
    run = run_of([fm.compare.Residual("heaviside", np.eye(2))], np.zeros(2))
    assert run.jumps is True
    np.testing.assert_array_equal(run([np.array([[-1.0, 2.0]])]), [[0.0, 1.0]])


def test_models_of_scikit_learn_predict():
    neural = pytest.importorskip("sklearn.neural_network")
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, rng = points(60), np.random.default_rng(0)
    y = np.sin(x) @ rng.normal(size=(3, 2))
    perceptron = neural.MLPRegressor(hidden_layer_sizes=(8, 8), random_state=0, solver="lbfgs", tol=1e3)
    model = make_pipeline(StandardScaler(), perceptron).fit(x, y)
    for graph in (True, False):
        run = run_of(model, np.zeros(3), graph=graph)
        np.testing.assert_allclose(run([x]), model.predict(x), **CLOSE)
        assert run.rebuild(y, False).shape == (60, 2)
    nearest = KNeighborsRegressor(3).fit(x, y[:, 0])
    run = run_of(nearest, np.zeros((1, 3)), graph=False)
    np.testing.assert_allclose(run([x])[:, 0], nearest.predict(x), **CLOSE)
    assert run.rebuild(run([x]), False).shape == (60,)


def test_functions_of_numpy_arrays_run_if_they_are_functions_of_rows():
    x, before = points(20), np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(run_of(lambda x: np.sort(x), np.zeros(3), graph=False)([x]), np.sort(x))
    refused = [
        (TypeError, "two runs of it", lambda x: x + np.random.random()),  # noqa: NPY002
        (ValueError, "must not meet", lambda x: x - x.mean(0)),
        (ValueError, "the batch in the first dimension", lambda x: x.sum()),
        (TypeError, "expected a list of layers", 3.0),
    ]
    for error, message, model in refused:
        with pytest.raises(error, match=message):
            run_of(model, np.zeros(3), graph=False)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
