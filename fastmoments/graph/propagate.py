"""A Gaussian through a whole network: `propagate` makes the model's graph and reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, overload

from fastmoments.frameworks import Words, words_of
from fastmoments.graph.frontends import layers, sklearn
from fastmoments.graph.inputs import Inputs, inputs_of
from fastmoments.graph.nodes import Graph, in_order
from fastmoments.graph.order import check_sizes, steps_of
from fastmoments.graph.readings.bound import Bound
from fastmoments.graph.readings.diagonal import Diagonal
from fastmoments.graph.readings.full import Full
from fastmoments.graph.readings.hybrid import Hybrid, with_full_covariance
from fastmoments.graph.rewrite import rewrite
from fastmoments.graph.selections import merge_selections
from fastmoments.layer_lists import is_list
from fastmoments.results import Marginals, Moments, MomentsBound, T
from fastmoments.signatures import ArrayOf

Covariance = Literal["full", "diagonal", "hybrid"]
Rules = Mapping[type, Callable[..., Any]]
LIMIT = 4096  # full covariance of more is 128 MB a value in float64 and more


class Distribution(Protocol):
    """A multivariate normal distribution of PyTorch."""

    @property
    def covariance_matrix(self) -> Any:
        """The covariance."""


@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["full", "hybrid"] = "full",
    *,
    bound: Literal[False] = False,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Moments[T]: ...
@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["diagonal"],
    *,
    bound: Literal[False] = False,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Marginals[T]: ...
@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["full"] = "full",
    *,
    bound: Literal[True],
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> MomentsBound[T]: ...
@overload
def propagate(
    model: Any,
    mu: tuple[Any, ...] | list[Any] | dict[str, Any] | Distribution,
    cov: Any = None,
    covariance: Covariance = "full",
    *,
    bound: bool = False,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Any: ...
def propagate(
    model: Any,
    mu: Any,
    cov: Any = None,
    covariance: Covariance = "full",
    *,
    bound: bool = False,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Any:
    """Mean and covariance of model(X) for X ~ N(mu, cov), exact up to the first activations.

    Parameters
    ----------
    model : the network, of the arrays' library. PyTorch: a module in eval mode, or a function of tensors, that the
        shapes of its input decide and not its values. JAX: a traceable function. Of any of them: a list of
        fm.compare.Affine and fm.compare.Residual. NumPy: a fitted MLPRegressor of scikit-learn, an MLPClassifier up
        to its logits (what goes into its softmax or logistic), a Pipeline or TransformedTargetRegressor of scalers,
        PCA and one of these; weights are taken in mu's dtype.
    mu : array of the model's input, (batch, ...), or one (n,) without a batch. Several inputs: a tuple of arrays,
        the model's positional arguments, or a dictionary, its named arguments or else one argument. A
        torch.distributions.MultivariateNormal stands for mu and cov.
    cov : for "full" the covariance (batch, n, n), or (n, n) for the whole batch, n the elements of one input, of
        all inputs flattened in order; for "diagonal" and "hybrid" variances, of mu's shape and structure.
    covariance : "full" carries every covariance, also between values that meet again in a residual connection;
        "diagonal" variances alone; "hybrid" variances up to the last layer of weights, full covariance behind it.
    bound : with "full", return a third field: how far the output may be from N(mean, cov), see the notes.
    rules : rules of modules by their class, {Class: rule}, before those of the package; see docs/networks.md.
    limit : the most elements of a value that may have a full covariance.

    Returns
    -------
    Moments, MomentsBound or Marginals
        `mean`, in the structure that the model returns, and `cov` (batch, m, m) of all outputs flattened in order,
        or for "diagonal" `var`, structured as the mean; with bound=True `bound` (batch,) too.

    Raises
    ------
    TypeError : what has no rule, by the module's path and the operation; random numbers that the model draws; what
        depends on values of the input; libraries, devices or dtypes that are mixed.
    ValueError : shapes that disagree, rows of a batch that meet, more than `limit` features with full covariance.

    Notes
    -----
    Affine operations are exact, and so are the first activations behind them for a Gaussian input, several side by
    side and in residual connections. The output of an activation is not Gaussian; further activations take it as
    such (assumed density filtering). Several elementwise operations of one value, as x * sigmoid(x), are one
    activation: of the catalogue if they have its values, else by quadrature as fm.Custom.

    `bound` is one on the 2-Wasserstein distance between the output and N(mean, cov): neither the mean nor the
    standard deviation of any sum w @ output, |w| = 1, is further off. Each activation f multiplies what came before
    by sup|f'| and adds sqrt(2 tr(K - D cov D)), D = diag(gain); each affine map multiplies by its spectral norm. It
    always holds, is infinite behind a jump, and is loose: norms multiply, and so it grows with depth where errors
    do not. It has no derivatives.

    References
    ----------
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.

    Examples
    --------
    >>> import torch, fastmoments as fm
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).eval()
    >>> mean, cov = fm.nn.propagate(model, torch.zeros(2), torch.eye(2))
    >>> mean.shape, cov.shape
    (torch.Size([1]), torch.Size([1, 1]))
    """
    if covariance not in ("full", "diagonal", "hybrid"):
        raise ValueError(f'covariance: expected "full", "diagonal" or "hybrid", got {covariance!r}')
    if bound and covariance != "full":
        raise ValueError(f'bound: needs covariance="full", got {covariance!r}')
    inputs = inputs_of(model, mu, cov, covariance)
    words = words_of(inputs.plan)
    with words.arithmetic(inputs.plan):
        graph = graph_of(model, inputs, rules or {})
        found = _read(graph, inputs, words, covariance, bound, limit)
        # where float16 is computed in float32
        rounds = inputs.plan.compute != inputs.plan.result
        return type(found)(*(words.result(inputs.plan, x) for x in found)) if rounds else found


def graph_of(model: Any, inputs: Inputs, rules: Rules) -> Graph:
    """Return the graph of a model of the inputs' library, or of any library's."""
    if is_list(model):
        return layers.graph_of(model, inputs)
    if sklearn.is_estimator(model):
        return sklearn.graph_of(model, inputs, rules)
    if inputs.plan.framework == "torch":
        from fastmoments.graph.frontends import torch

        return torch.graph_of(model, inputs.means, inputs.arguments, rules)
    if inputs.plan.framework == "jax":
        from fastmoments.graph.frontends import jax

        if rules:
            raise TypeError("rules: they are of modules of PyTorch; JAX traces functions")
        return jax.graph_of(model, inputs.means, inputs.arguments, inputs.single)
    raise TypeError(
        "model: for NumPy arrays expected a list of fm.compare.Affine and fm.compare.Residual, or a fitted "
        f"model of scikit-learn, got {type(model).__name__}"
    )


def _read(graph: Graph, inputs: Inputs, words: Words[Any], covariance: str, bound: bool, limit: int) -> Any:
    graph = rewrite(graph, whole_sums=covariance == "diagonal")
    graph = graph if covariance == "full" else merge_selections(graph)
    steps = steps_of(graph)
    nodes, outputs = list(graph.inputs), list(graph.outputs)

    def rebuilt(known: Mapping[Any, Any]) -> Any:
        return graph.rebuild([known[node] for node in outputs], inputs.single)

    if covariance == "diagonal":
        diagonal = Diagonal(words)
        diagonal.start(nodes, inputs.means, inputs.variances)
        diagonal.run(graph, steps)
        return Marginals(rebuilt(diagonal.means), rebuilt(diagonal.vars))
    full_nodes = with_full_covariance(steps) if covariance == "hybrid" else in_order(graph.outputs, graph.inputs)
    check_sizes(full_nodes, limit, lambda n: inputs.rows * n * n * inputs.means[0].itemsize)
    if covariance == "hybrid":
        hybrid = Hybrid(words)
        hybrid.start_with_variances(nodes, inputs.means, inputs.variances)
        reading: Full = hybrid
    else:
        reading = Bound(words) if bound else Full(words)
        reading.start(nodes, inputs.means, inputs.cov)
    reading.run(graph, steps)
    mean, full = rebuilt(reading.means), inputs.of_all_rows(words, reading.joint_cov(outputs))
    if not isinstance(reading, Bound):
        return Moments(mean, full)
    error = words.detached(reading.bound(outputs))
    return MomentsBound(mean, full, inputs.of_all_rows(words, error))
