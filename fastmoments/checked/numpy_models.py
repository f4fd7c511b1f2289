"""Models of NumPy arrays that have no graph: those of scikit-learn that predict, and functions of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.checked.arrays import COMPLEX
from fastmoments.graph.frontends.sklearn import is_estimator
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Shape

Array = NDArray[Any]

CLOSE = 1e-8  # of the largest value: products of other sizes round otherwise


def without_graph(
    model: Any, inputs: Inputs, rules: Mapping[type, Any]
) -> tuple[Any, list[Shape], Callable[[Sequence[Array], bool], Any]]:
    """Return what runs a batch, the shapes of the outputs, and what makes the model's structure of them."""
    function = _function_of(model)

    def batch(rows: list[Array], uniforms: Array | None) -> list[Array]:
        args, kwargs = inputs.arguments([x.copy() for x in rows])  # it may write to them
        try:
            found = np.asarray(function(*args, **kwargs))
        except Exception as error:
            shapes = ", ".join(str(x.shape) for x in rows)
            raise ValueError(
                f"model: it raises for inputs of shape {shapes}: {type(error).__name__}: {error}"
            ) from error
        if np.iscomplexobj(found):
            raise TypeError(COMPLEX)
        if found.shape[:1] != (len(rows[0]),) or not np.issubdtype(found.dtype, np.number):
            raise ValueError(
                f"model: for {len(rows[0])} inputs it returns {found.dtype} of shape {found.shape}; expected "
                "numbers, the batch in the first dimension"
            )
        return [found.astype(rows[0].dtype)]

    together = _checked(batch, inputs)

    def rebuild(values: Sequence[Array], single: bool) -> Any:
        return values[0][0] if single else values[0]

    return batch, [together.shape[1:]], rebuild


def _function_of(model: Any) -> Callable[..., Any]:
    if is_estimator(model):
        if not hasattr(model, "predict"):
            raise TypeError(
                f"model: {type(model).__name__} has no predict; give a function of an array in its place"
            )
        function: Callable[..., Any] = model.predict
        return function
    if not callable(model):
        raise TypeError(f"model: expected a list of layers, a model of scikit-learn or a function, got {model!r}")
    return model  # type: ignore[no-any-return]


def _checked(batch: Callable[..., list[Array]], inputs: Inputs) -> Array:
    """The values at three examples; raise if they are random, or if the rows meet."""
    noise = np.random.default_rng(0)
    examples = []
    for mu in inputs.means:
        first = mu[:1] if len(mu) else np.zeros((1, *mu.shape[1:]), mu.dtype)
        off = noise.standard_normal((3, *mu.shape[1:])) * np.array([0.0, 1.0, 4.0]).reshape(
            3, *(1,) * (mu.ndim - 1)
        )
        examples.append((first + off * (1.0 + np.abs(first))).astype(mu.dtype))
    before = np.random.get_state()  # noqa: NPY002 (the generator that models share)
    try:
        np.random.seed(1)  # noqa: NPY002
        (one,) = batch(examples, None)
        np.random.seed(2)  # noqa: NPY002
        (two,) = batch(examples, None)
        alone = np.concatenate([batch([x[k : k + 1] for x in examples], None)[0] for k in range(3)])
    finally:
        np.random.set_state(before)  # noqa: NPY002
    close = dict(rtol=0.0, atol=CLOSE * np.abs(np.nan_to_num(one, posinf=0.0, neginf=0.0)).max(initial=0.0))
    if not np.array_equal(one, two, equal_nan=True):
        raise TypeError(
            "model: two runs of it on the same inputs differ: it is random, or keeps what a call computed"
        )
    if not np.allclose(one, alone, equal_nan=True, **close):
        raise ValueError(
            "model: its output for an input depends on the others in the batch, or on their number; the rows of a "
            "batch must not meet"
        )
    return one
