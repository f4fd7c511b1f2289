"""A Gaussian through a whole PyTorch network: the graph is traced, and every node's rule applied in turn."""

from typing import Literal, overload

import torch
from torch import Tensor, nn

from fastmoments.dispatch import plan_of
from fastmoments.frameworks.torch import arithmetic, check_variances, symmetric
from fastmoments.nn.bounds import BoundedJoint
from fastmoments.nn.gaussians import Diagonal, Joint, features_of
from fastmoments.nn.walk import Walk
from fastmoments.results import Marginals, Moments, MomentsBound


@overload
def propagate(
    model: nn.Module,
    mu: Tensor,
    cov: Tensor,
    covariance: Literal["full", "hybrid"] = "full",
    *,
    bound: Literal[False] = False,
) -> Moments[Tensor]: ...
@overload
def propagate(
    model: nn.Module, mu: Tensor, cov: Tensor, covariance: Literal["diagonal"], *, bound: Literal[False] = False
) -> Marginals[Tensor]: ...
@overload
def propagate(
    model: nn.Module, mu: Tensor, cov: Tensor, covariance: Literal["full"] = "full", *, bound: Literal[True]
) -> MomentsBound[Tensor]: ...
def propagate(
    model: nn.Module,
    mu: Tensor,
    cov: Tensor,
    covariance: Literal["full", "diagonal", "hybrid"] = "full",
    *,
    bound: bool = False,
) -> Moments[Tensor] | MomentsBound[Tensor] | Marginals[Tensor]:
    """Mean and covariance of model(X) for X ~ N(mu, cov), layer by layer, each output taken as Gaussian.

    Parameters
    ----------
    model : any torch.nn module that torch.fx can trace, in eval mode, of affine layers (Linear, BayesLinear, Conv1d
        to Conv3d, AvgPool2d, AdaptiveAvgPool2d, BatchNorm, Flatten, Identity, Dropout), PyTorch's elementwise
        activations and Activation, as modules or as functions, sums, multiples, torch.cat and reshapes.
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
    _check_kinds(model, mu=mu, cov=cov)
    single = mu.ndim == 1 or (covariance == "full" and cov.ndim == 2)
    mu, cov = (mu[None], cov[None]) if single else (mu, cov)
    _check(mu, cov, covariance)
    if bound and covariance != "full":
        raise ValueError(f'bound: needs covariance="full", got {covariance!r}')
    cov = symmetric(cov) if covariance == "full" else cov
    joint = BoundedJoint if bound else Joint
    state: Joint | Diagonal = joint() if covariance == "full" else Diagonal()
    with arithmetic(plan_of({"mu": mu, "cov": cov})):
        output, state = Walk(model, state, covariance == "hybrid").run(mu, cov)
    mean = state.means[output]
    if isinstance(state, Diagonal):
        var = state.vars[output]
        return Marginals(mean[0], var[0]) if single else Marginals(mean, var)
    full = state.cov(output, output)
    if isinstance(state, BoundedJoint):
        error = state.bounds[output]
        return MomentsBound(mean[0], full[0], error[0]) if single else MomentsBound(mean, full, error)
    return Moments(mean[0], full[0]) if single else Moments(mean, full)


def _check_kinds(model: nn.Module, **tensors: Tensor) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {model!r}")
    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}; use torch.as_tensor")
        if not value.is_floating_point():
            raise TypeError(f"{name}: expected real numbers in floating point, got {value.dtype}")
        if value.ndim == 0:
            raise ValueError(f"{name}: expected an input or a batch of them, got a scalar")


def _check(mu: Tensor, cov: Tensor, covariance: str) -> None:
    features = features_of(mu)
    expected = (len(mu), features, features) if covariance == "full" else tuple(mu.shape)
    if tuple(cov.shape) != expected:
        what = "a covariance" if covariance == "full" else f"variances, covariance={covariance!r},"
        raise ValueError(f"cov: expected {what} of shape {expected}, got {tuple(cov.shape)}")
    if mu.dtype != cov.dtype or mu.device != cov.device:
        raise TypeError(f"cov: expected mu's {mu.dtype} on {mu.device}, got {cov.dtype} on {cov.device}")
    check_variances("cov", torch.einsum("bii->bi", cov) if covariance == "full" else cov)
