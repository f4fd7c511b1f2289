"""A Gaussian through a whole PyTorch network: the graph is traced, and every node's rule applied in turn."""

import operator
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from fastmoments.nn.bounds import BoundedJoint
from fastmoments.nn.gaussians import Diagonal, Joint
from fastmoments.nn.modules import BayesLinear
from fastmoments.nn.rules import ACTIVATIONS, AFFINE, Affine, activation_of, affine_of
from fastmoments.results import Marginals, Moments, MomentsBound

Tensor = Any
Node = Any

FEATURES = 4096  # full covariance of more is 128 MB a value in float64 and more
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, BayesLinear)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.AvgPool2d)
# What models call instead of a module
FUNCTIONS: dict[Any, type[nn.Module]] = {
    torch.relu: nn.ReLU,
    F.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.leaky_relu: nn.LeakyReLU,
    F.gelu: nn.GELU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    "tanh": nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    F.silu: nn.SiLU,
    F.softplus: nn.Softplus,
    F.elu: nn.ELU,
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
}
SUMS = {operator.add: 1.0, torch.add: 1.0, "add": 1.0, operator.sub: -1.0, torch.sub: -1.0, "sub": -1.0}
SCALINGS = {operator.mul, torch.mul, "mul", operator.truediv, torch.div, "div"}


def propagate(
    model: nn.Module,
    mu: Tensor,
    cov: Tensor,
    covariance: Literal["full", "diagonal", "hybrid"] = "full",
    *,
    bound: bool = False,
) -> Moments | MomentsBound | Marginals:
    """Mean and covariance of model(X) for X ~ N(mu, cov), layer by layer, each output taken as Gaussian.

    Parameters
    ----------
    model : any torch.nn module that torch.fx can trace, in eval mode, of affine layers (Linear, BayesLinear, Conv,
        AvgPool2d, BatchNorm, Flatten, Identity, Dropout), elementwise activations, sums and multiples.
    mu : tensor of the model's input, (batch, ...) or one (n,) without a batch.
    cov : for "full" its covariance (batch, n, n) or (n, n), n the elements of one input; for "diagonal" and
        "hybrid" its variances, of mu's shape.
    covariance : "full" carries every covariance, also between values that meet again in a residual connection;
        "diagonal" variances alone; "hybrid" variances up to the last layer of weights, full covariance behind it.
    bound : with "full", return a third field: how far the output may be from N(mean, cov), see the notes.

    Returns
    -------
    Moments, MomentsBound or Marginals
        `mean`, shaped as the model's output, and `cov` (batch, m, m), or for "diagonal" `var`, shaped as the mean;
        with bound=True `bound` (batch,) too.

    Raises
    ------
    TypeError : a module or function without a rule, by name, with what to do.
    ValueError : shapes that disagree, a module in training mode, more than 4096 features with full covariance.

    Notes
    -----
    One affine layer, one activation behind it, and x + f(A x + b) are exact for Gaussian inputs. What comes out of
    an activation is not Gaussian; deeper networks are therefore approximated (assumed density filtering).

    `bound` is one on the 2-Wasserstein distance between the output and N(mean, cov): neither the mean nor the
    standard deviation of any sum w @ output, |w| = 1, is further off. Each activation f multiplies what came before
    by sup|f'| and adds sqrt(2 tr(K - D cov D)), D = diag(gain); each affine map multiplies by its spectral norm. It
    always holds, is infinite behind a jump, and is loose: norms multiply, and so it grows with depth where errors
    do not.

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
    single = mu.ndim == 1 or (covariance == "full" and cov.ndim == 2)
    mu, cov = (mu[None], cov[None]) if single else (mu, cov)
    _check(mu, cov, covariance)
    if bound and covariance != "full":
        raise ValueError(f'bound: needs covariance="full", got {covariance!r}')
    graph = _Tracer().trace(model)
    joint = BoundedJoint if bound else Joint
    state: Joint | Diagonal = joint() if covariance == "full" else Diagonal()
    output, state = _Walk(model, graph, state, covariance == "hybrid").run(mu, cov)
    mean = state.means[output]
    if isinstance(state, Diagonal):
        var = state.vars[output]
        return Marginals(mean[0], var[0]) if single else Marginals(mean, var)
    full = state.cov(output, output)
    if isinstance(state, BoundedJoint):
        error = state.bounds[output]
        return MomentsBound(mean[0], full[0], error[0]) if single else MomentsBound(mean, full, error)
    return Moments(mean[0], full[0]) if single else Moments(mean, full)


def _check(mu: Tensor, cov: Tensor, covariance: str) -> None:
    features = mu[0].numel()
    expected = (len(mu), features, features) if covariance == "full" else tuple(mu.shape)
    if tuple(cov.shape) != expected:
        what = "a covariance" if covariance == "full" else f"variances, covariance={covariance!r},"
        raise ValueError(f"cov: expected {what} of shape {expected}, got {tuple(cov.shape)}")


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        known = any(kind in AFFINE or kind in ACTIVATIONS for kind in type(module).__mro__)
        return known or activation_of(module) is not None or super().is_leaf_module(module, qualified_name)


class _Walk:
    """The nodes of a traced graph in order; values are dropped behind their last reader."""

    def __init__(self, model: nn.Module, graph: fx.Graph, state: Joint | Diagonal, hybrid: bool) -> None:
        self.modules, self.state = dict(model.named_modules()), state
        self.nodes = list(graph.nodes)
        self.last = self._last_affine() if hybrid else None

    def run(self, mu: Tensor, cov: Tensor) -> tuple[str, Joint | Diagonal]:
        for index, node in enumerate(self.nodes):
            later = {source.name for other in self.nodes[index + 1 :] for source in other.all_input_nodes}
            self.state.kept = later & set(self.state.means)
            if node.op == "output":
                result = node.args[0]
                if not isinstance(result, fx.Node):
                    raise TypeError(f"model: expected one output tensor, got {type(result).__name__}")
                return result.name, self.state
            if node.op == "placeholder":
                if self.state.means:
                    raise TypeError(f"{node.name}: expected a model of one input")
                self.state.start(node.name, mu, cov)
            else:
                self._apply(node)
            for name in set(self.state.means) - later:
                self.state.drop(name)
        raise TypeError("model: it returns nothing")

    def _apply(self, node: Node) -> None:
        if node.op != "call_module" and node.target in SUMS:
            self._sum(node)
        elif node.op != "call_module" and node.target in SCALINGS:
            self._scaled(node)
        else:
            self._module(node, self._module_of(node))

    def _module_of(self, node: Node) -> nn.Module:
        if node.op == "call_module":
            called: nn.Module = self.modules[str(node.target)]
            return called
        if node.op in ("call_function", "call_method") and node.target in FUNCTIONS:
            arguments = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
            return FUNCTIONS[node.target](*node.args[1:], **arguments)
        raise TypeError(
            f"{node.name}: {getattr(node.target, '__name__', node.target)} has no rule; write it with the modules "
            "fm.nn.propagate lists, or propagate the parts before and after it"
        )

    def _module(self, node: Node, module: nn.Module) -> None:
        (old,) = {source.name for source in node.all_input_nodes}
        name = str(node.target) if node.op == "call_module" else node.name
        affine, activation = affine_of(module), activation_of(module)
        if affine is not None:
            self._affine(node, name, old, module, affine)
        elif activation is not None:
            self.state.activation(node.name, old, activation)
        else:
            raise TypeError(
                f"{name}: {type(module).__name__} has no rule; use a module that fm.nn.propagate lists, or for an "
                "elementwise function fm.nn.Activation or fm.Custom, or propagate the parts before and after it"
            )

    def _affine(self, node: Node, name: str, old: str, module: nn.Module, affine: Affine) -> None:
        if node is self.last and isinstance(self.state, Diagonal):
            self.state = _with_full_covariance(self.state, old)
        state, mean = self.state, self.state.means[old]
        if isinstance(state, Joint):
            if isinstance(module, CONVOLUTIONS) and mean[0].numel() > FEATURES:
                raise ValueError(
                    f"{name}: full covariance of {mean[0].numel()} features, more than {FEATURES}; "
                    'use covariance="diagonal"'
                )
        state.affine(node.name, old, affine)

    def _sum(self, node: Node) -> None:
        sign = SUMS[node.target]
        if node.kwargs.get("alpha") is not None:
            sign = sign * node.kwargs["alpha"]
        terms, constant = [], 0.0
        for factor, value in zip((1.0, sign), node.args, strict=True):
            if isinstance(value, fx.Node):
                terms.append((factor, value.name))
            else:
                constant += factor * value
        self.state.combine(node.name, terms, constant)

    def _scaled(self, node: Node) -> None:
        one, two = node.args
        divides = node.target in (operator.truediv, torch.div, "div")
        if isinstance(one, fx.Node) and isinstance(two, int | float):
            self.state.combine(node.name, [(1.0 / two if divides else two, one.name)])
        elif isinstance(two, fx.Node) and isinstance(one, int | float) and not divides:
            self.state.combine(node.name, [(one, two.name)])
        else:
            raise TypeError(f"{node.name}: a product of two values is not Gaussian; only multiples by numbers are")

    def _last_affine(self) -> Node:
        found = [
            n for n in self.nodes if n.op == "call_module" and isinstance(self.modules[str(n.target)], WEIGHTED)
        ]
        if not found:
            raise ValueError('covariance: "hybrid" needs a layer with weights; use "full" or "diagonal"')
        return found[-1]


def _with_full_covariance(state: Diagonal, name: str) -> Joint:
    """The one value that is read from here on, its neurons uncorrelated."""
    others = set(state.means) - {name}
    if others:
        raise ValueError(f'covariance: "hybrid" cannot carry {sorted(others)[0]} around the last layer; use "full"')
    joint, var = Joint(), state.vars[name]
    joint.start(name, state.means[name], torch.diag_embed(var.reshape(len(var), -1)))
    return joint
