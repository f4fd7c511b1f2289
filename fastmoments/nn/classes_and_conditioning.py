"""Class probabilities of a Gaussian over logits, and a Gaussian given some of its values."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from fastmoments.dispatch import Plan, plan_of
from fastmoments.elementwise import mean as mean_of
from fastmoments.frameworks import shapes
from fastmoments.frameworks import torch as words
from fastmoments.frameworks.products import without_rounding
from fastmoments.frameworks.torch import check_variances, result, to_arrays
from fastmoments.frameworks.torch_products import checked_covariance
from fastmoments.frameworks.torch_tracking import is_tracked
from fastmoments.hints import explained
from fastmoments.joint.exact_maximum import LARGEST, exact_maximum
from fastmoments.results import Moments


@explained
def class_probabilities(
    mean: Tensor, cov: Tensor, link: Literal["softmax", "argmax"] = "softmax", samples: int = 4096
) -> Tensor:
    """Probabilities of classes from a Gaussian over logits.

    Parameters
    ----------
    mean : tensor (..., k), mean of the logits.
    cov : tensor (..., k, k), their covariance, symmetric to rounding; its upper triangle is read.
    link : "softmax" for E softmax(Z); "argmax" for P(Z_i is largest), which those that are equal share.
    samples : quasi-Monte Carlo points (a power of two), the same for every row.

    Returns
    -------
    tensor (..., k)
        Exact for two classes ("softmax" is the sigmoid's mean at the logits' difference), "argmax" for three and
        four too. For more both are means over scrambled Sobol points, whose error falls about as 1 / samples: with
        4096 of them and 3 to 100 classes 3e-4 of "softmax" at logits of sd 1, 2e-3 at sd 3, and 8e-3 of "argmax".
        "softmax" has first derivatives along cov, those of its truth (Price) in the means of the same points.
        "argmax" by points has none. nan where a row has nan, or where its cov is not positive semidefinite by more
        than rounding.

    Raises
    ------
    TypeError : what is no tensor, devices or dtypes that are mixed.
    ValueError : shapes that disagree, a matrix that is not symmetric, a negative variance, a link that is not
        known, no samples.
    """
    if link not in ("softmax", "argmax"):
        raise ValueError(f'link: expected "softmax" or "argmax", got {link!r}')
    if samples < 1:
        raise ValueError(f"samples: expected at least one, got {samples!r}")
    plan, (mean, cov) = _tensors(mean=mean, cov=cov)
    cov = _checked(plan, mean, cov)
    k = mean.shape[-1]
    if k == 2:
        found = _of_two(mean, cov, link)
    elif link == "argmax" and k <= LARGEST:
        found = _largest(mean, cov)
    else:
        found = _of_samples(mean, cov, link, samples)
    return result(plan, found)


def _of_two(mean: Tensor, cov: Tensor, link: str) -> Tensor:
    gap = mean[..., 1] - mean[..., 0]
    var = cov[..., 0, 0] + cov[..., 1, 1] - 2.0 * cov[..., 0, 1]
    slack = 64 * torch.finfo(var.dtype).eps * (cov[..., 0, 0] + cov[..., 1, 1])
    var = torch.where((var < 0.0) & (var >= -slack), 0.0, var)
    known = ~(var < 0.0)
    both = torch.stack([-gap, gap], -1)
    activation = "sigmoid" if link == "softmax" else "heaviside"
    found: Tensor = mean_of(activation, both, torch.where(known, var, 0.0)[..., None].expand(both.shape))
    return torch.where(known[..., None], found, math.nan)


def _largest(mean: Tensor, cov: Tensor) -> Tensor:
    """Probabilities of up to four classes that each is largest."""
    shares: Tensor = exact_maximum(words, mean, cov.expand(*mean.shape, mean.shape[-1])).slope[..., 0, :]
    return torch.where(_spectrum(cov.detach())[2], shares, math.nan)


def _of_samples(mean: Tensor, cov: Tensor, link: str, samples: int) -> Tensor:
    from scipy.stats import qmc  # half a second

    k = mean.shape[-1]
    uniform = qmc.Sobol(k, seed=0).random(samples).clip(1e-12, 1 - 1e-12)
    normal = torch.special.ndtri(torch.as_tensor(uniform, dtype=torch.float64)).to(mean)
    logits = mean[..., None, :] + normal @ _root(cov.detach()).mT
    if link == "softmax":
        p = torch.softmax(logits, -1)
        return (p + _by_cov(p, cov) if is_tracked(cov) else p).mean(-2)
    largest = (logits == logits.amax(-1, keepdim=True)).to(mean)
    shares: Tensor = largest / largest.sum(-1, keepdim=True)
    return shares.mean(-2)


def _root(cov: Tensor) -> Tensor:
    """A square root of a covariance that may be singular; nan where it is none."""
    values, vectors, known = _spectrum(cov)
    root: Tensor = vectors * torch.where(known, torch.sqrt(values.clamp_min(0.0)), math.nan)[..., None, :]
    return root


def _spectrum(cov: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues (..., k), eigenvectors, and whether it is a covariance to rounding, (..., 1)."""
    finite = torch.isfinite(cov).all(-1).all(-1)[..., None, None]
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
    values, vectors = torch.linalg.eigh(torch.where(finite, cov, eye))
    slack = 64 * cov.shape[-1] * torch.finfo(cov.dtype).eps * values.sum(-1, keepdim=True)
    return values, vectors, finite[..., 0] & (values >= -slack).all(-1, keepdim=True)


def _by_cov(p: Tensor, cov: Tensor) -> Tensor:
    """0, whose derivative along cov is E of half the Hessian (Price): that of a root fails where cov is singular.

    Of a class c and a change D of cov it is p_c (D_cc / 2 - (D p)_c + p D p - p . diag D / 2).
    """
    change: Tensor = _Change.apply(cov)  # type: ignore[no-untyped-call]
    own, spread = torch.diagonal(change, dim1=-2, dim2=-1)[..., None, :], p @ change
    return p * (0.5 * own - spread + (p * (spread - 0.5 * own)).sum(-1, keepdim=True))


class _Change(torch.autograd.Function):
    """Cov less itself, with its first derivatives alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(cov: Tensor) -> Tensor:
        return torch.zeros_like(cov)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tensor:
        gradient: Tensor = _Last.apply(bar, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent.clone()


class _Last(torch.autograd.Function):
    """A gradient that has none itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(bar: Tensor, cov: Tensor) -> Tensor:
        return bar.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError("class_probabilities: it has first derivatives along cov only")


@explained
def condition(
    mean: Tensor,
    cov: Tensor,
    observed: Tensor | Sequence[int],
    values: Tensor | Sequence[float],
    noise_cov: Tensor | Sequence[Sequence[float]] | None = None,
) -> Moments[Tensor]:
    """The Gaussian N(mean, cov) given that some of its entries were seen: a Kalman update, missing inputs.

    Parameters
    ----------
    mean : tensor (..., n).
    cov : tensor (..., n, n), symmetric to rounding; its upper triangle is read.
    observed : indices (m,) of the entries seen, or a mask (n,) of bools.
    values : tensor (..., m) or list, what was seen.
    noise_cov : tensor (..., m, m) or lists, covariance of the noise in it; None for none.

    Returns
    -------
    Moments
        Of all n entries; those seen without noise have their values and no variance.

    Raises
    ------
    TypeError : what is no tensor, devices or dtypes that are mixed, indices that are not integers.
    ValueError : shapes that disagree, a matrix that is not symmetric, a negative variance.
    IndexError : an index beyond n.
    """
    weak = {"values": values} | ({} if noise_cov is None else {"noise_cov": noise_cov})
    plan, (mean, cov, values, *noise) = _tensors(weak, mean=mean, cov=cov)
    cov = _checked(plan, mean, cov)
    n = mean.shape[-1]
    index = _indices(observed, n, mean.device)
    m = len(index)
    if values.shape[-1:] != (m,):
        raise ValueError(f"values: expected shape (..., {m}), one a value seen, got {tuple(values.shape)}")
    if noise and noise[0].shape[-2:] != (m, m):
        raise ValueError(f"noise_cov: expected shape (..., {m}, {m}), got {tuple(noise[0].shape)}")
    noise = [_covariance(plan, "noise_cov", x) for x in noise]
    seen = cov[..., index, :]
    innovation = seen[..., index] + (noise[0] if noise else 0.0)
    # as correlations: what is seen may be of any scale. Least squares: it may be redundant
    var = torch.diagonal(innovation, dim1=-2, dim2=-1)
    sd = torch.sqrt(torch.where(var > 0.0, var, 1.0))[..., None]
    correlation = innovation / sd / sd.mT
    pull = torch.linalg.pinv(correlation, hermitian=True) @ (seen / sd) / sd
    mean = mean + ((values - mean[..., index])[..., None, :] @ pull)[..., 0, :]
    left = cov - seen.mT @ pull
    left = 0.5 * (left + left.mT)
    if not noise:
        mean = mean.index_copy(-1, index, values.expand(*mean.shape[:-1], m))
        known = torch.zeros(n, dtype=torch.bool, device=mean.device).index_fill(0, index, True)
        left = torch.where(known | known[:, None], 0.0 * left, left)
    sizes = torch.linalg.eigvalsh(correlation).abs()
    eps = torch.finfo(cov.dtype).eps
    conditioned = sizes.amax(-1) / torch.maximum(sizes.amin(-1), eps * sizes.amax(-1)) if m else 1.0
    scale = torch.diagonal(cov, dim1=-2, dim2=-1).sum(-1)
    left = without_rounding(torch, left, eps * conditioned * scale)
    return Moments(result(plan, mean), result(plan, left))


def _indices(observed: Any, n: int, device: Any) -> Tensor:
    """Integers (m,) in [0, n), by themselves or by a mask."""
    index = torch.as_tensor(observed, device=device)
    if index.dtype == torch.bool and tuple(index.shape) == (n,):
        index = index.nonzero()[:, 0]
    index = index if index.numel() else index.long()
    if index.ndim != 1 or index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        what = f"{index.dtype} of shape {tuple(index.shape)}"
        raise TypeError(f"observed: expected integers (m,) or bools ({n},), got {what}")
    if ((index < -n) | (index >= n)).any():
        raise IndexError(f"observed: expected indices of {n} entries, got {index.tolist()}")
    return torch.remainder(index, n)


def _tensors(weak: dict[str, Any] | None = None, **given: Tensor) -> tuple[Plan, list[Tensor]]:
    """Return the plan, and the arguments in its dtype; those in `weak` may be lists or numbers."""
    for name, value in given.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}; use torch.as_tensor")
    given |= weak or {}
    plan = plan_of(given)
    return plan, list(to_arrays(plan, given).values())


def _checked(plan: Plan, mean: Tensor, cov: Tensor) -> Tensor:
    """Cov by its upper triangle, if it is one of mean."""
    k = mean.shape[-1] if mean.ndim else 0
    if tuple(cov.shape[-2:]) != (k, k) or not mean.ndim:
        raise ValueError(
            f"cov: expected shape (..., {k}, {k}) for mean {tuple(mean.shape)}, got {tuple(cov.shape)}"
        )
    shapes.broadcast({"mean": mean.shape[:-1], "cov": cov.shape[:-2]})
    return _covariance(plan, "cov", cov)


def _covariance(plan: Plan, name: str, cov: Tensor) -> Tensor:
    """The symmetric matrix of cov's upper triangle; raise if it has negative variances or is far from symmetric."""
    check_variances(name, torch.diagonal(cov, dim1=-2, dim2=-1), "its diagonal")
    return checked_covariance(cov, torch.finfo(getattr(torch, plan.result)).eps, name)
