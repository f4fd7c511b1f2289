"""fm.propagate of fitted models of scikit-learn, against their own predictions at the nodes of quadrature."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastmoments as fm
from fastmoments.graph.frontends.layers import dense
from tests.test_graph_lists import on_a_grid

pytest.importorskip("sklearn")

from sklearn.compose import TransformedTargetRegressor  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import (  # noqa: E402
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)) * [1.0, 2.0, 3.0, 0.5] + [1.0, 0.0, 5.0, 2.0]
Y = X @ RNG.standard_normal((4, 2)) + 3.0
ROOT = 0.5 * RNG.standard_normal((4, 4))
COV = ROOT @ ROOT.T


def perceptron(kind=MLPRegressor, **options):
    return kind(**{"hidden_layer_sizes": (6, 5), "max_iter": 10, "random_state": 0} | options)


def fitted(model, x=X, y=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DataConversionWarning)  # of y (n, 1)
        return model.fit(x, y)


def without_spread(model, mu):
    return fm.propagate(model, mu, np.zeros((mu.shape[-1],) * 2))


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("outputs", ["one", "several"])
def test_without_spread_it_is_predict(activation, outputs):
    model = fitted(perceptron(activation=activation), y=Y if outputs == "several" else Y[:, 0])
    found, expected = without_spread(model, X[:3]), model.predict(X[:3])
    assert found.mean.shape == expected.shape
    assert found.cov.shape == ((3, 2, 2) if outputs == "several" else (3, 1, 1))
    assert_allclose(found.mean, expected, rtol=1e-13)
    single = without_spread(model, X[0])
    assert np.shape(single.mean) == expected.shape[1:]
    assert_allclose(single.mean, expected[0], rtol=1e-13)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_one_hidden_layer_is_exact(activation):
    model = fitted(perceptron(activation=activation, hidden_layer_sizes=(5,)), X[:, :1])
    found = fm.propagate(model, np.array([0.3]), np.array([[0.7]]))
    mean, full = on_a_grid(model.predict, 0.3, 0.7)
    # 1e-9 of the grid's kinks, 1e-10 of tanh and sigmoid
    assert_allclose(found.mean, mean, rtol=0, atol=1e-8)
    assert_allclose(found.cov, full, rtol=0, atol=1e-8)


AFFINE = {
    "standard": StandardScaler(),
    "standard, no mean": StandardScaler(with_mean=False),
    "standard, no scale": StandardScaler(with_std=False),
    "robust": RobustScaler(),
    "robust, no center": RobustScaler(with_centering=False),
    "robust, no scale": RobustScaler(with_scaling=False, unit_variance=True),
    "min max": MinMaxScaler((-1.0, 2.0)),
    "max abs": MaxAbsScaler(),
    "identity": FunctionTransformer(),
    "pca": PCA(3),
    "pca, white": PCA(3, whiten=True),
}


@pytest.mark.parametrize("name", AFFINE)
def test_transformers_before_an_affine_network(name):
    model = fitted(make_pipeline("passthrough", AFFINE[name], perceptron(activation="identity")))
    origin = model.predict(np.zeros((1, 4)))
    jacobian = (model.predict(np.eye(4)) - origin).T
    found = fm.propagate(model, X[:3], COV)
    # differences of numbers up to 20
    assert_allclose(found.mean, model.predict(X[:3]), rtol=0, atol=1e-12)
    assert_allclose(found.cov[1], jacobian @ COV @ jacobian.T, rtol=1e-11)


@pytest.mark.parametrize("name", AFFINE)
def test_a_transformer_alone_is_transform(name):
    model = AFFINE[name].fit(X)
    origin = model.transform(np.zeros((1, 4)))
    jacobian = (model.transform(np.eye(4)) - origin).T
    found = fm.propagate(model, X[:3], np.arange(1.0, 5.0), "diagonal")
    assert_allclose(found.mean, model.transform(X[:3]), rtol=0, atol=1e-13)
    assert_allclose(found.var[1], jacobian**2 @ np.arange(1.0, 5.0), rtol=1e-11)


@pytest.mark.parametrize("scaler", [None, StandardScaler(), RobustScaler(), MinMaxScaler(), MaxAbsScaler()])
@pytest.mark.parametrize("y", [Y, Y[:, 0], Y[:, :1]], ids=["two", "one", "one in a matrix"])
def test_scaled_targets(scaler, y):
    regressor = make_pipeline(make_pipeline(StandardScaler()), perceptron(activation="identity"))
    model = fitted(TransformedTargetRegressor(regressor, transformer=scaler), y=y)
    jacobian = (model.predict(np.eye(4)) - model.predict(np.zeros((1, 4)))).reshape(4, -1).T
    found, expected = fm.propagate(model, X[:3], COV), model.predict(X[:3])
    assert found.mean.shape == expected.shape
    assert_allclose(found.mean, expected, rtol=0, atol=1e-12)
    assert_allclose(found.cov[1], jacobian @ COV @ jacobian.T, rtol=1e-11)


@pytest.mark.parametrize("scaler", [MinMaxScaler((-1.0, 2.0), clip=True), MaxAbsScaler()])
def test_clipping_is_exact(scaler):
    if isinstance(scaler, MaxAbsScaler):
        if not hasattr(scaler, "clip"):
            pytest.skip("scikit-learn before 1.8 does not clip here")
        scaler.set_params(clip=True)
    scaler.fit(X[:, :1])
    found = fm.propagate(scaler, np.array([1.5]), np.array([[4.0]]))
    mean, full = on_a_grid(scaler.transform, 1.5, 4.0)
    assert_allclose(found.mean, mean, rtol=0, atol=1e-8)
    assert_allclose(found.cov, full, rtol=0, atol=1e-8)


def test_logits():
    classes = np.arange(len(Y)) % 3
    several = fitted(perceptron(MLPClassifier), y=classes)
    logits = without_spread(several, X[:5]).mean
    assert logits.shape == (5, 3)
    odds = np.exp(logits)
    assert_allclose(odds / odds.sum(-1, keepdims=True), several.predict_proba(X[:5]), rtol=1e-12)
    two = fitted(perceptron(MLPClassifier), y=classes > 0)
    logit = without_spread(two, X[:5]).mean
    assert_allclose(1 / (1 + np.exp(-logit)), two.predict_proba(X[:5])[:, 1:], rtol=1e-12)
    labels = fitted(perceptron(MLPClassifier), y=Y > 3)
    logits = without_spread(labels, X[:5]).mean
    assert_allclose(1 / (1 + np.exp(-logits)), labels.predict_proba(X[:5]), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_dtype_is_that_of_the_input(dtype):
    model = fitted(make_pipeline(StandardScaler(), perceptron()))
    found = fm.propagate(model, X[:3].astype(dtype), COV.astype(dtype))
    expected = fm.propagate(model, X[:3].astype(dtype).astype(float), COV.astype(dtype).astype(float))
    assert found.mean.dtype == found.cov.dtype == dtype
    # float16 is rounded once; in float32 centers cancel digits of numbers up to 20
    eps = float(np.finfo(dtype).eps)
    tolerance = 1e-5 if dtype == np.float32 else eps
    assert_allclose(found.mean, expected.mean, rtol=tolerance, atol=tolerance)
    assert_allclose(found.cov, expected.cov, rtol=tolerance, atol=tolerance)


def test_integers_and_no_inputs():
    model = fitted(perceptron())
    assert_allclose(without_spread(model, np.ones((1, 4), int)).mean, model.predict(np.ones((1, 4))), rtol=1e-13)
    assert fm.propagate(model, np.zeros((0, 4)), COV).cov.shape == (0, 2, 2)


class Doubling(StandardScaler):
    """A scaler that does something else."""

    def transform(self, x, copy=None):
        return 2.0 * x


@pytest.mark.feature("NumPy", "networks: rules of your own")
def test_a_rule_of_ones_own():
    model = fitted(make_pipeline(Doubling(), perceptron(activation="identity")))
    with pytest.raises(TypeError, match="doubling: Doubling has no rule; give its class one in rules="):
        fm.propagate(model, X[:1], COV)
    found = fm.propagate(
        model, X[:1], COV, rules={Doubling: lambda scaler, x: dense(x, 2.0 * np.eye(4), None, "x2")}
    )
    jacobian = (model.predict(np.eye(4)) - model.predict(np.zeros((1, 4)))).T
    assert_allclose(found.mean, model.predict(X[:1]), rtol=1e-13)
    assert_allclose(found.cov[0], jacobian @ COV @ jacobian.T, rtol=1e-12)


def test_what_has_no_rule_is_refused_by_name():
    def refused(error, message, model):
        with pytest.raises(error, match=message):
            fm.propagate(model, X[:2], COV)

    refused(NotFittedError, "MLPRegressor", perceptron())
    refused(TypeError, "model: QuantileTransformer has no rule", QuantileTransformer(n_quantiles=10).fit(X))
    logs = make_pipeline(FunctionTransformer(np.log1p), PCA(2)).fit(np.abs(X))
    refused(TypeError, r"functiontransformer: only FunctionTransformer\(None\)", logs)
    target = TransformedTargetRegressor(perceptron(), func=np.arcsinh, inverse_func=np.sinh)
    refused(TypeError, "transformer_: the inverse of FunctionTransformer has no rule", fitted(target))
    refused(
        ValueError, "mu: expected the 3 features that model was fitted with, got 4", fitted(perceptron(), X[:, :3])
    )
    if "loss" in MLPRegressor().get_params():  # from 1.7 on
        poisson = fitted(perceptron(loss="poisson"), y=np.abs(Y))
        refused(TypeError, "model: its output is exp of the last layer", poisson)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="mu: a scikit-learn model takes NumPy arrays, got torch arrays"):
        fm.propagate(fitted(perceptron()), torch.zeros(4), torch.eye(4))


def test_describe():
    model = fitted(make_pipeline(MinMaxScaler(clip=True), perceptron(hidden_layer_sizes=(5,))), y=Y[:, 0])
    found = fm.describe(model, X[:3])
    assert [value.name for value in found.values[-5:]] == [
        "minmaxscaler: clip",
        "mlpregressor.coefs_[0]",
        "mlpregressor.relu 0",
        "mlpregressor.coefs_[1]",
        "mlpregressor.predict",
    ]
    # the clip is an activation
    assert [value.moments for value in found.values if value.kind == "ReLU"] == ["exact", "exact", "closure"]
