"""A Gaussian through a whole network: `propagate` makes the model's graph and reads it."""

from __future__ import annotations

from typing import Any, Literal, overload

from fastmoments.checked.corrected import read_corrected
from fastmoments.checked.result import Checked, CheckedMarginals, Corrected
from fastmoments.frameworks import Words, words_of
from fastmoments.graph.inputs import Inputs, inputs_of
from fastmoments.graph.models import Rules, graph_of
from fastmoments.graph.options import LIMIT, MOST, Covariance, check_options, check_rules
from fastmoments.graph.read import prepared, read
from fastmoments.hints import explained
from fastmoments.results import Marginals, Moments, MomentsBound, T
from fastmoments.signatures import ArrayOf, Distribution


@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["full", "hybrid"] = "full",
    *,
    bound: Literal[False] = False,
    cumulants: Literal[False] = False,
    tol: None = None,
    seed: int = 0,
    most: int = MOST,
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
    cumulants: Literal[False] = False,
    tol: None = None,
    seed: int = 0,
    most: int = MOST,
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
    cumulants: Literal[False] = False,
    tol: None = None,
    seed: int = 0,
    most: int = MOST,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> MomentsBound[T]: ...
@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["full"] = "full",
    *,
    bound: Literal[False] = False,
    cumulants: Literal[True],
    tol: None = None,
    seed: int = 0,
    most: int = MOST,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Corrected[T]: ...
@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["full"] = "full",
    *,
    bound: Literal[False] = False,
    cumulants: bool = False,
    tol: float,
    seed: int = 0,
    most: int = MOST,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Checked[T]: ...
@overload
def propagate(
    model: Any,
    mu: ArrayOf[T],
    cov: ArrayOf[T],
    covariance: Literal["diagonal"],
    *,
    bound: Literal[False] = False,
    cumulants: Literal[False] = False,
    tol: float,
    seed: int = 0,
    most: int = MOST,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> CheckedMarginals[T]: ...
@overload
def propagate(
    model: Any,
    mu: tuple[Any, ...] | list[Any] | dict[str, Any] | Distribution,
    cov: Any = None,
    covariance: Covariance = "full",
    *,
    bound: bool = False,
    cumulants: bool = False,
    tol: float | None = None,
    seed: int = 0,
    most: int = MOST,
    rules: Rules | None = None,
    limit: int = LIMIT,
) -> Any: ...
@explained
def propagate(
    model: Any,
    mu: Any,
    cov: Any = None,
    covariance: Covariance = "full",
    *,
    bound: bool = False,
    cumulants: bool = False,
    tol: float | None = None,
    seed: int = 0,
    most: int = MOST,
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
        normal distribution of torch.distributions, scipy.stats or numpyro.distributions stands for mu and cov;
        that of independent numbers has a batch in the first of several dimensions.
    cov : for "full" the covariance (batch, n, n), or (n, n) for the whole batch, n the elements of one input, of
        all inputs flattened in order; for "diagonal" and "hybrid" variances, of mu's shape and structure: the
        squares of standard deviations, which nothing tells from them.
        A covariance is symmetric to rounding, and its upper triangle is read; under jit, vmap and torch.compile
        there are no values to look at, and the upper triangle is read whatever the other.
    covariance : "full" carries every covariance, also between values that meet again in a residual connection;
        "diagonal" variances alone; "hybrid" variances up to the last layer of weights, full covariance behind it.
    bound : with "full", return a third field: how far the output may be from N(mean, cov), see the notes.
    cumulants : with "full", correct mean and covariance by the third and fourth cumulants that activations leave.
    tol : with "full" or "diagonal", the error that mean, standard deviations (sd) and covariance may have, relative
        to the outputs' own, between 0 and 1: points through the model itself are doubled until their claim is met.
        0.01 is 1 %.
    seed : of the points. The same seed gives the same answer, bit by bit if the library's products are.
    most : the most points of one input, at least 512.
    rules : rules of modules by their class, {Class: rule}, before those of the package; see docs/networks.md.
    limit : the most elements of a value that may have a full covariance.

    Returns
    -------
    Moments, MomentsBound or Marginals
        `mean`, in the structure that the model returns, and `cov` (batch, m, m) of all outputs flattened in order,
        or for "diagonal" `var`, structured as the mean; with bound=True `bound` (batch,) too.
    Corrected
        with cumulants=True; fields beside are `closure`, the moments without the correction, and `small`. Read them
        by name, `answer.mean`: they do not unpack into two, and neither do those of `tol`.
    Checked or CheckedMarginals
        with `tol`; fields beside are `error`, `met`, `count`, `weight`, `closure` and `points`, and quantile(q) is
        that of the outputs.

    A nan in mu or cov gives nan for every output that depends on it, and for no other input of the batch, with a
    warning from `tol` and `cumulants` alone; so does inf where it meets another. What is missing may be given its
    mean and variance first, by `fm.nn.condition`.

    Raises
    ------
    TypeError : what has no rule, by the module's path and the operation; random numbers that the model draws; what
        depends on values of the input; libraries, devices or dtypes that are mixed.
    ValueError : shapes that disagree; a covariance that is not symmetric, such as a Cholesky factor, beyond
        64 n eps sd_i sd_j, has a negative variance, or gives one to a value before the first activation (on JAX nan
        or that variance), by the layer's name; with `tol` any eigenvalue below -n^2 eps of the correlations; rows
        of a batch that meet, more than `limit` features with full covariance, arguments that exclude each other.

    Warns
    -----
    UserWarning : variances of as many inputs as these have elements look like the covariance of all.
    AccuracyWarning : `tol` is not met by `most` points, and what it would take; a correction by cumulants is not
        small, so that the closure stands.

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

    `cumulants` carries the third and fourth cumulants of the neurons to all values behind them, and corrects by
    Edgeworth's series what each activation makes of them. Nothing checks the result.

    `tol` starts from the moments with cumulants, and runs 8 independently scrambled Sobol sequences through the
    model, turned into the directions that matter at its output. Their scatter tells the error of their average
    and, without a bias, that of the start, which keeps the weight that this leaves it. A claim holds for about 97
    of 100 networks; an output that is constant at all points counts as constant, and no claim is below 1 / count,
    or below what two or three points make of it. Any model that runs has points, also one with values of more
    than `limit` features or layers without a rule: then it has no `closure`. Noise of the model's own is drawn of
    the points. Derivatives are those of the points along their paths and of the start, with weights and counts
    frozen; where activations jump, of the start alone. Under torch.no_grad() it takes half the time. It needs
    values: under jax.jit it is refused. Memory holds all points' outputs.

    References
    ----------
    L'Ecuyer & Lemieux, "Recent advances in randomized quasi-Monte Carlo methods", 2002 (errors by replicates).
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.

    Examples
    --------
    >>> import torch, fastmoments as fm
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).eval()
    >>> mean, cov = fm.nn.propagate(model, torch.zeros(2), torch.eye(2))
    >>> mean.shape, cov.shape
    (torch.Size([1]), torch.Size([1, 1]))
    """
    check_options(covariance, bound, cumulants, tol, seed, most, limit)
    check_rules(rules or {})
    inputs = inputs_of(model, mu, cov, covariance)
    words = words_of(inputs.plan)
    with words.arithmetic(inputs.plan):
        if tol is not None:
            # not at the top: SciPy's statistics take a second
            from fastmoments.checked.answer import Asked, checked

            asked = Asked(tol, seed, most, limit, covariance == "diagonal")
            found = checked(model, inputs, words, rules or {}, asked)
        else:
            graph, steps = prepared(graph_of(model, inputs, rules or {}), inputs, covariance, limit)
            if cumulants:
                found = read_corrected(graph, steps, inputs, words)
            else:
                found = read(graph, steps, inputs, words, covariance, bound)
    # where float16 is computed in float32
    return _rounded(found, inputs, words) if inputs.plan.compute != inputs.plan.result else found


def _rounded(found: Any, inputs: Inputs, words: Words[Any]) -> Any:
    """Return the arrays of a result, those of real numbers, in the result's dtype."""
    if isinstance(found, tuple):
        parts = [_rounded(x, inputs, words) for x in found]
        return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
    return words.result(inputs.plan, found) if "float" in str(getattr(found, "dtype", "")) else found
