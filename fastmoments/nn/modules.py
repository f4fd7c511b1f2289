"""PyTorch modules: layers of Gaussian weights, and activations with learnable parameters."""

import math
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

import fastmoments.layers as layers
import fastmoments.values as values
from fastmoments.composed.base import Composed
from fastmoments.elementwise import marginals
from fastmoments.frameworks import torch as tensors
from fastmoments.graph.nodes import Affine, Node
from fastmoments.graph.noise import of_rows, of_variance
from fastmoments.graph.rules import elementwise
from fastmoments.hints import explained
from fastmoments.joint.noise import rows_cov
from fastmoments.parameters import of_neurons, own
from fastmoments.results import Marginals, Moments
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom


class Activation(nn.Module):
    """An activation of fastmoments as a module.

    Parameters
    ----------
    activation : an object such as fm.NPN(tau=2.0), a class or a name; fm.Custom(f) and the names of those without a
        closed form as well, whose `forward` has values and no derivatives.
    learnable : name or names of its parameters that become instances of torch.nn.Parameter, ("tau",) for example;
        none of activations composed of others, as fm.ELU is.
    features : how many neurons have parameters of their own; None for one value shared by all.

    Notes
    -----
    `forward(x)` is f(x) itself, which differentiates along x and the parameters; `marginals(mu, var)` are the mean
    and the variance of f of a Gaussian; `fm.nn.propagate` takes the module as it takes PyTorch's own.
    """

    @explained
    def __init__(self, activation: Any, learnable: str | tuple[str, ...] = (), features: int | None = None) -> None:
        super().__init__()
        learnable = (learnable,) if isinstance(learnable, str) else learnable
        if features is not None and not learnable:
            raise ValueError("features: only learnable parameters are one per neuron; name them in `learnable`")
        activation = own(activation)
        whole, _ = of_neurons(activation)
        self.custom: Custom | Composed | None = None if isinstance(whole, str) else whole
        kind: Any = type(self.custom) if self.custom else row_of(activation).activation
        given: Any = self.custom or (activation if isinstance(activation, kind) else kind())
        names = () if self.custom else tuple(field.name for field in fields(kind))
        self.kind, self.fixed = kind, {name: getattr(given, name) for name in names if name not in learnable}
        for name in learnable:
            if isinstance(self.custom, Composed) and hasattr(self.custom, name):
                of = f"{kind.__name__} has its parameters fixed, without gradients"
                raise ValueError(f"learnable: {of}; leave {name!r} out")
            if name not in names:
                raise ValueError(f"learnable: {kind.__name__} has no parameter {name!r}")
            start = torch.as_tensor(getattr(given, name), dtype=torch.get_default_dtype())
            shape = start.shape if features is None else (features, *start.shape)
            self.register_parameter(name, nn.Parameter(start.expand(shape).clone()))

    def current(self) -> Any:
        """The activation object with the parameters as they are now."""
        return self.custom or self.kind(**self.fixed, **dict(self.named_parameters()))

    def forward(self, x: Tensor) -> Tensor:
        """f(x), element by element."""
        if not x.is_floating_point():
            raise TypeError(f"x: expected real numbers in floating point, got {x.dtype}")
        dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
        found: Tensor = values.value(tensors, self.current(), x.to(dtype)).to(x.dtype)
        return found

    def __fastmoments__(self, value: Node) -> Node:
        """The rule of the module in networks."""
        return elementwise(value, self.current(), self.forward)

    def marginals(self, mu: Tensor, var: Tensor) -> Marginals[Tensor]:
        """Mean and variance of f(X), X ~ N(mu, var)."""
        return marginals(self.current(), mu, var)

    def extra_repr(self) -> str:
        """Return the text in the module's printed form."""
        return repr(self.current())


class GaussianWeights(nn.Module):
    """A layer of independent Gaussian weights of the given shape, and as many biases as the first axis has.

    The arguments are those of `BayesLinear`.
    """

    def __init__(
        self, shape: tuple[int, ...], bias: bool, prior_sd: float, initial_sd: float, initial_bias: float
    ) -> None:
        super().__init__()
        for name, sd in (("prior_sd", prior_sd), ("initial_sd", initial_sd)):
            if not 0.0 < sd < math.inf:
                raise ValueError(f"{name}: expected a standard deviation > 0, got {sd!r}")
        self.prior_sd = prior_sd
        rho = initial_sd + math.log(-math.expm1(-initial_sd))  # log(exp(sd) - 1), without overflow
        self.weight_mean = nn.Parameter(torch.empty(shape))
        self.weight_rho = nn.Parameter(torch.full(shape, rho))
        self.bias_mean = nn.Parameter(torch.full(shape[:1], initial_bias)) if bias else None
        self.bias_rho = nn.Parameter(torch.full(shape[:1], rho)) if bias else None
        nn.init.normal_(self.weight_mean, std=1.0 / math.sqrt(math.prod(shape[1:])))

    def drawn(self) -> tuple[Tensor, Tensor | None]:
        """Weights and biases, drawn anew."""
        bias = None
        if self.bias_mean is not None and self.bias_rho is not None:
            bias = self.bias_mean + F.softplus(self.bias_rho) * torch.randn_like(self.bias_mean)
        return self.weight_mean + F.softplus(self.weight_rho) * torch.randn_like(self.weight_mean), bias

    def distribution(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """(weight_mean, weight_var, bias_mean, bias_var), as the layer functions take them."""
        bias_var = None if self.bias_rho is None else F.softplus(self.bias_rho) ** 2
        return self.weight_mean, F.softplus(self.weight_rho) ** 2, self.bias_mean, bias_var

    def kl(self) -> Tensor:
        """KL(weights || prior) in nats, summed over weights and biases."""
        mean, var, bias_mean, bias_var = self.distribution()
        total = _kl(mean, var, self.prior_sd)
        return total if bias_mean is None or bias_var is None else total + _kl(bias_mean, bias_var, self.prior_sd)


class BayesLinear(GaussianWeights):
    """A linear layer of independent Gaussian weights, y = W x + b.

    Parameters
    ----------
    in_features, out_features : sizes.
    bias : whether there is one; it is Gaussian as well.
    prior_sd : standard deviation of the zero-mean Gaussian prior of every weight.
    initial_sd : standard deviation of every weight to begin with.
    initial_bias : mean of every bias to begin with: 1 before a bounded output exp(-h^2/2), `fm.nn.Activation(
        fm.Gaussian())`, which is steepest there and flat at 0, where nothing would be learned.

    Notes
    -----
    `weight_mean` and `weight_rho` (out_features, in_features), `bias_mean` and `bias_rho` (out_features,) are
    parameters; a variance is softplus(rho)^2. `forward(x)` draws weights anew for every call (reparameterised);
    `marginals` and `moments` carry a Gaussian through without drawing any. `kl` is the divergence from the prior.
    """

    @explained
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        prior_sd: float = 1.0,
        initial_sd: float = 0.05,
        initial_bias: float = 0.0,
    ) -> None:
        super().__init__((out_features, in_features), bias, prior_sd, initial_sd, initial_bias)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: Tensor) -> Tensor:
        """W x + b with weights drawn for this call, the same for all rows."""
        return F.linear(x, *self.drawn())

    def __fastmoments__(self, value: Node) -> Node:
        """The rule of the layer in networks: the mean weights, and the variance that their distribution adds."""
        mean, var, bias, bias_var = self.distribution()

        def map_of(x: Tensor) -> Tensor:
            return F.linear(x, mean, bias)

        def own(second: Tensor) -> Tensor:
            return F.linear(second, var, bias_var)

        shape, own_cov = (*value.shape[:-1], self.out_features), rows_cov(own, value.shape)
        if own_cov is None:
            draw = of_variance(map_of, own, shape)
        else:
            draw = of_rows(map_of, own, value.shape, self.out_features)
        rule = Affine(
            map_of,
            lambda x: F.linear(x, mean),
            lambda x: F.linear(x, mean * mean),
            mean,
            own=own,
            own_cov=own_cov,
            draw=draw,
            weighted=True,
        )
        return Node(rule, (value,), shape, "BayesLinear")

    def marginals(self, mu: Tensor, var: Tensor) -> Marginals[Tensor]:
        """`fm.bayes_linear_marginals` of this layer."""
        return layers.bayes_linear_marginals(mu, var, *self.distribution())

    def moments(self, mu: Tensor, cov: Tensor) -> Moments[Tensor]:
        """`fm.bayes_linear_moments` of this layer."""
        return layers.bayes_linear_moments(mu, cov, *self.distribution())

    def extra_repr(self) -> str:
        """Return the text in the module's printed form."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias_mean is not None}"


def _kl(mean: Tensor, var: Tensor, prior_sd: float) -> Tensor:
    ratio = var / prior_sd**2
    return 0.5 * (ratio + (mean / prior_sd) ** 2 - 1.0 - torch.log(ratio)).sum()


def kl_divergence(model: nn.Module) -> Tensor:
    """KL(weights || prior) in nats of all layers of Gaussian weights of a model, as `BayesLinear`."""
    found = [module.kl() for module in model.modules() if isinstance(module, GaussianWeights)]
    if not found:
        raise ValueError("model: it has no layer of Gaussian weights, such as BayesLinear")
    return torch.stack(found).sum()
