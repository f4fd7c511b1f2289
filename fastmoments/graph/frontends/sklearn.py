"""scikit-learn: fitted multilayer perceptrons, pipelines of affine transformers before them, scaled targets.

The graph is that of `predict`, for a classifier that of its logits, for a transformer alone that of `transform`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastmoments.graph.frontends.layers import dense, one_to_one, vector_input
from fastmoments.graph.frontends.own_rules import Rule, rule_of
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Activation, Affine, Graph, Node, Sum
from fastmoments_kernels.catalogue import ReLU

ACTIVATIONS: dict[str, Any] = {"identity": None, "logistic": "sigmoid", "tanh": "tanh", "relu": ReLU()}


def is_estimator(model: Any) -> bool:
    """Whether a model is one of scikit-learn, or of a class made of its classes."""
    return any(base.__module__.partition(".")[0] == "sklearn" for base in type(model).__mro__)


def graph_of(model: Any, inputs: Inputs, rules: Mapping[type, Rule]) -> Graph:
    """Return the graph of a fitted model, whose numbers are taken in the dtype of the computation."""
    if inputs.plan.framework != "numpy":
        raise TypeError(f"mu: a scikit-learn model takes NumPy arrays, got {inputs.plan.framework} arrays")
    first = vector_input(inputs)
    return one_to_one(first, _Reader(inputs.plan.compute, rules).node(model, first, ""), np)


class _Reader:
    def __init__(self, dtype: str, rules: Mapping[type, Rule]) -> None:
        self.dtype, self.rules = dtype, rules

    def node(self, model: Any, x: Node, path: str) -> Node:
        """Return what a model makes of x; `path` names it in a pipeline."""
        own, what = rule_of(model, self.rules), path or "model"
        if own is not None:
            return own(model, x)
        read = _named(KNOWN, model)
        if read is None:
            raise TypeError(
                f"{what}: {type(model).__name__} has no rule; give its class one in rules=, or propagate what is "
                "before and after it"
            )
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(model)
        width = getattr(model, "n_features_in_", x.size)
        if x.shape != (width,):
            raise ValueError(f"mu: expected the {width} features that {what} was fitted with, got {x.size}")
        found: Node = read(self, model, x, path)
        return found

    def array(self, values: Any) -> Any:
        """Return numbers of the model in the dtype of the computation."""
        return np.asarray(values, self.dtype)

    def pipeline(self, model: Any, x: Node, path: str) -> Node:
        for name, step in model.steps:
            if step is not None and step != "passthrough":
                x = self.node(step, x, _joined(path, name))
        return x

    def regressor(self, model: Any, x: Node, path: str) -> Node:
        if model.out_activation_ != "identity":
            raise TypeError(
                f"{path or 'model'}: its output is {model.out_activation_} of the last layer, which has no rule; "
                'only that of loss="squared_error" has one'
            )
        x = self.perceptron(model, x, path)
        if x.size > 1:
            return x
        return _reshaped(x, (), _joined(path, "predict"))

    def perceptron(self, model: Any, x: Node, path: str) -> Node:
        """Return the last layer, before the output's own activation."""
        activation = ACTIVATIONS[model.activation]
        last = len(model.coefs_) - 1
        for k, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
            x = dense(x, self.array(weight).T, self.array(bias), _joined(path, f"coefs_[{k}]"))
            if k < last and activation is not None:
                x = Node(Activation(activation), (x,), x.shape, _joined(path, f"{model.activation} {k}"))
        return x

    def scaler(self, model: Any, x: Node, path: str) -> Node:
        path = path or type(model).__name__
        y = _scaled(x, *self.scaling(model), path)
        if not getattr(model, "clip", False):
            return y
        low, high = map(float, getattr(model, "feature_range", (-1.0, 1.0)))
        return _clipped(y, low, high, path)

    def scaling(self, model: Any) -> tuple[Any, Any]:
        """Return center and scale of (x - center) / scale."""
        center, scale = (self.array(x) for x in _named(SCALERS, model)(model))
        return center, scale

    def pca(self, model: Any, x: Node, path: str) -> Node:
        weight = model.components_
        if model.whiten:
            sd = np.sqrt(model.explained_variance_)
            # as scikit-learn does, for components without variance
            weight = weight / np.maximum(sd, np.finfo(sd.dtype).eps)[:, None]
        return dense(x, self.array(weight), self.array(-(weight @ model.mean_)), path or "PCA")

    def function(self, model: Any, x: Node, path: str) -> Node:
        if model.func is not None:
            raise TypeError(f"{path or 'model'}: only FunctionTransformer(None), the identity, has a rule")
        return x

    def scaled_target(self, model: Any, x: Node, path: str) -> Node:
        y, scaler = self.node(model.regressor_, x, _joined(path, "regressor_")), model.transformer_
        name = _joined(path, "transformer_")
        is_identity = type(scaler).__name__ == "FunctionTransformer" and scaler.inverse_func is None
        if _named(SCALERS, scaler) is None and not is_identity:
            raise TypeError(f"{name}: the inverse of {type(scaler).__name__} has no rule; scalers have")
        y = _reshaped(y, (y.size,), name)
        if not is_identity:
            center, scale = self.scaling(scaler)
            y = _scaled(y, -center / scale, 1.0 / scale, name)
        return _reshaped(y, (), _joined(path, "predict")) if model._training_dim == 1 and y.size == 1 else y


def _standard(model: Any) -> tuple[Any, Any]:
    return model.mean_ if model.with_mean else 0.0, model.scale_ if model.with_std else 1.0


def _robust(model: Any) -> tuple[Any, Any]:
    return model.center_ if model.with_centering else 0.0, model.scale_ if model.with_scaling else 1.0


def _min_max(model: Any) -> tuple[Any, Any]:
    return -model.min_ / model.scale_, 1.0 / model.scale_


def _max_abs(model: Any) -> tuple[Any, Any]:
    return 0.0, model.scale_


SCALERS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
}
KNOWN: dict[str, Callable[[_Reader, Any, Node, str], Node]] = {
    "Pipeline": _Reader.pipeline,
    "MLPRegressor": _Reader.regressor,
    "MLPClassifier": _Reader.perceptron,
    "PCA": _Reader.pca,
    "FunctionTransformer": _Reader.function,
    "TransformedTargetRegressor": _Reader.scaled_target,
    **dict.fromkeys(SCALERS, _Reader.scaler),
}


def _named(table: Mapping[str, Any], model: Any) -> Any:
    """Return the entry of a class of scikit-learn's own; subclasses may do something else."""
    kind = type(model)
    return table.get(kind.__name__) if kind.__module__.startswith("sklearn.") else None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _reshaped(x: Node, shape: tuple[int, ...], name: str) -> Node:
    def value(rows: Any) -> Any:
        return rows.reshape(len(rows), *shape)

    return x if x.shape == shape else Node(Affine(value, value, value, unchanged=True), (x,), shape, name)


def _scaled(x: Node, center: Any, scale: Any, name: str) -> Node:
    """Return (x - center) / scale."""
    rule = Affine(lambda x: (x - center) / scale, lambda x: x / scale, lambda var: var / (scale * scale))
    return Node(rule, (x,), x.shape, name)


def _clipped(x: Node, low: float, high: float, name: str) -> Node:
    """Return x clipped to [low, high]: low + relu(x - low) - relu(x - high)."""

    def above(bound: float) -> Node:
        shifted = Node(Sum(lambda y: y - bound, (1.0,)), (x,), x.shape, f"{name}: minus {bound:g}")
        return Node(Activation(ReLU()), (shifted,), x.shape, f"{name}: above {bound:g}")

    rule = Sum(lambda one, two: low + one - two, (1.0, -1.0))
    return Node(rule, (above(low), above(high)), x.shape, f"{name}: clip")
