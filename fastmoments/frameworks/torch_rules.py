"""What the kernels compute for tensors, and how autograd, torch.func and forward mode differentiate it.

An element-wise function's derivatives are other element-wise functions (SLOPES), those of the matrix are the vjp
kernel; both are differentiated again, and where SLOPES ends, through the formulas on torch operations.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fastmoments_kernels import cpu, custom
from fastmoments_kernels.cpu.elementwise import outputs_of
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.eager import on_torch

Tensor = Any

# its annotation has two results or three
_vjp: Callable[..., Any] = torch.func.vjp

# The functions that are the derivatives along each argument
SLOPES = {
    "mean": ("gain", "mean_dvar", "mean_dparameters"),
    "var": ("var_partials", "var_dparameters"),
    "cov": ("cov_partials", "cov_dparameters"),
    "bivariate_normal_cdf": ("bivariate_normal_cdf_partials",),
}


def kernels_for(activation: Any, tensor: Tensor) -> str:
    """What computes where a tensor lies: the cpu kernels, the gpu's, torch operations ("eager"), on meta nothing.

    An activation without a closed form is the user's NumPy function ("custom").
    """
    device = tensor.device.type
    if isinstance(activation, Custom):
        if device != "cpu":
            raise TypeError(f"activation: Custom functions are evaluated on the CPU, got tensors on {device}")
        return "custom"
    return {"cpu": "cpu", "cuda": "gpu", "meta": "meta"}.get(device, "eager")


def _module(kernels: str) -> Any:
    if kernels != "gpu":
        return cpu if kernels == "cpu" else custom
    return gpu_kernels()


def gpu_kernels() -> Any:
    """The Triton kernels."""
    try:
        from fastmoments_kernels import gpu
    except ImportError as error:
        message = "tensors on cuda need Triton, which is not installed: pip install fastmoments[triton]"
        raise ImportError(message) from error
    return gpu


def evaluate(activation: Any, kind: str, *arguments: Tensor) -> tuple[Tensor, ...]:
    """An element-wise function's outputs: by kernels on the tensors' own memory, or by torch operations."""
    kernels = kernels_for(activation, arguments[0])
    if kernels == "eager":
        return _as_tuple(on_torch.function(activation, kind, arguments[0].dtype)(*arguments))
    if kernels == "meta":
        return tuple(torch.empty_like(arguments[0]) for _ in range(outputs_of(kind, len(arguments))))
    module = _module(kernels)
    function = module.normal(kind) if activation is None else module.elementwise(activation, kind, len(arguments))
    if kernels == "gpu":
        return _as_tuple(function(*arguments))
    if kernels == "custom":
        return tuple(map(torch.from_numpy, _as_tuple(function(*map(_array, arguments)))))
    results = tuple(_empty(arguments[0]) for _ in range(function.nout))
    with np.errstate(all="ignore"):
        function(*map(_array, arguments), out=tuple(map(_array, results)))
    return results


def evaluate_moments(activation: str, mu: Tensor, cov: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, by the upper triangle of cov."""
    kernels = kernels_for(activation, mu)
    if kernels == "eager":
        mean, full = moments_of(activation, mu)(mu, cov, *parameters)
        return mean, full
    mean, full = _empty(mu), _empty(cov)
    if mu.numel() and kernels != "meta":
        flat = _flat if kernels == "gpu" else _flat_cpu
        vectors = tuple(flat(x, mu.shape[-1:]) for x in parameters)
        _module(kernels).moments(activation, *_pairs(flat, mu, cov), *_pairs(flat, mean, full), vectors)
    return mean, full


def evaluate_moments_vjp(
    activation: str, mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor, *parameters: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to mu and cov, that of cov symmetric as cov_bar has to be."""
    kernels = kernels_for(activation, mu)
    if kernels == "eager":
        mu_bar, cov_in_bar, *_ = moments_vjp_of(activation, mu)(mu, cov, mean_bar, cov_bar, *parameters)
        return mu_bar, cov_in_bar
    if not mu.numel() or kernels == "meta":
        return torch.zeros_like(mu), torch.zeros_like(cov)
    flat = _flat if kernels == "gpu" else _flat_cpu
    vectors = tuple(flat(x, mu.shape[-1:]) for x in parameters)
    arrays = *_pairs(flat, mu, cov), *_pairs(flat, mean_bar, cov_bar)
    found = _module(kernels).moments_vjp(activation, *arrays, vectors)
    mu_bar, cov_in_bar = map(torch.as_tensor, found)
    return mu_bar.reshape(mu.shape), cov_in_bar.reshape(cov.shape)


def evaluate_parameter_vjp(activation: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Gradients with respect to the parameters, of (mu, cov, mean_bar, cov_bar, *parameters)."""
    mu, _, _, _, *parameters = tensors
    if kernels_for(activation, mu) == "meta":
        return tuple(map(torch.zeros_like, parameters))
    if kernels_for(activation, mu) != "cpu" or not mu.numel():
        return moments_vjp_of(activation, mu)(*tensors)[2:]
    vectors = tuple(_flat_cpu(x, mu.shape[-1:]) for x in parameters)
    found = cpu.parameter_vjp(
        activation, *_pairs(_flat_cpu, *tensors[:2]), *_pairs(_flat_cpu, *tensors[2:4]), vectors
    )
    return tuple(torch.from_numpy(x).reshape(mu.shape) for x in found)


def _empty(like: Tensor) -> Tensor:
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.numpy(force=True)
    return array


def _flat(tensor: Tensor, core: tuple[int, ...]) -> Tensor:
    """All leading dimensions as one, the kernels' layout; contiguous tensors keep their memory."""
    return tensor.contiguous().view(-1, *core)


def _flat_cpu(tensor: Tensor, core: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(_array(tensor)).reshape(-1, *core)


def _pairs(flat: Callable[..., Any], vector: Tensor, matrix: Tensor) -> tuple[Any, Any]:
    n = vector.shape[-1]
    return flat(vector, (n,)), flat(matrix, (n, n))


def _as_tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def symmetric(matrix: Tensor) -> Tensor:
    """The mean of both triangles."""
    return 0.5 * (matrix + matrix.mT)


def _on_torch(activation: Any, kind: str, like: Tensor) -> Callable[..., Any]:
    """An element-wise function in torch operations, which autograd differentiates."""
    return on_torch.function(_with_formula(activation), kind, like.dtype)


def _with_formula(activation: Any) -> Any:
    if isinstance(activation, Custom):
        raise NotImplementedError("activation: Custom functions have first derivatives only")
    return activation


def moments_of(activation: str, like: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    """(mu, cov, *parameters) -> moments on torch operations."""
    functions = on_torch.functions(_with_formula(activation), like.dtype)
    slack = 64 * like.shape[-1] * torch.finfo(like.dtype).eps
    return lambda mu, cov, *parameters: functions.moments(mu, cov, slack, *parameters)


def moments_vjp_of(activation: str, like: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    """(mu, cov, mean_bar, cov_bar, *parameters) -> gradients of mu, cov and the parameters on torch operations."""

    def vjp(mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        _, pull = _vjp(moments_of(activation, like), mu, cov, *parameters)
        mu_bar, upper, *others = pull((mean_bar, cov_bar))
        return mu_bar, symmetric(upper), *others

    return vjp


def pull(function: Callable[..., Any], inputs: tuple[Tensor, ...], bars: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradients of a function of tensors on torch operations."""
    values, back = _vjp(function, *inputs)
    gradients: tuple[Tensor, ...] = back(bars if isinstance(values, tuple) else bars[0])
    return gradients


def push(function: Callable[..., Any], inputs: tuple[Tensor, ...], tangents: tuple[Any, ...]) -> Any:
    """Its directional derivative, along tangents that may be None for 0.

    Through reverse mode twice, the gradient being linear in what flows back: forward mode does not nest.
    """
    values = _as_tuple(function(*inputs))
    zeros = tuple(torch.zeros_like(value) for value in values)
    filled = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(inputs, tangents, strict=True))
    _, back = _vjp(lambda *bars: pull(function, inputs, bars), *zeros)
    found = back(filled)
    return found if len(found) > 1 else found[0]


def _batched(info: Any, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The tensors with the batch as their leading dimension."""
    return tuple(
        x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(tensors, dims, strict=True)
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.key = tuple(x for x in inputs if not isinstance(x, torch.Tensor))
    tensors = inputs[len(ctx.key) :]
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


class _Elementwise(torch.autograd.Function):
    """(activation or None, kind, *tensors of one shape) -> tuple of tensors."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str | None, kind: str, *arguments: Tensor) -> tuple[Tensor, ...]:
        return evaluate(activation, kind, *arguments)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *elementwise_gradients(elementwise, ctx.key, ctx.saved_tensors, bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (activation, kind), inputs, tangents = ctx.key, ctx.saved_tensors, tangents[2:]
        if kind not in SLOPES:
            return _as_tuple(push(_on_torch(activation, kind, inputs[0]), inputs, tangents))
        along = zip(slopes(elementwise, activation, kind, inputs), tangents, strict=True)
        return (sum(on_torch.weigh(t, slope) for slope, t in along if t is not None),)

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str | None, kind: str, *arguments: Tensor) -> Any:
        results = elementwise(activation, kind, *_batched(info, dims[2:], arguments))
        return results, (0,) * len(results)


def slopes(call: Callable[..., Any], activation: str, kind: str, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The derivatives along each input, of a kind in SLOPES."""
    names = [name for name in SLOPES[kind] if outputs_of(name, len(inputs))]
    return [slope for name in names for slope in call(activation, name, *inputs)]


def elementwise_gradients(
    call: Callable[..., Any], key: tuple[str, str], inputs: tuple[Tensor, ...], bars: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients of sum(bars * outputs) of the function (activation, kind); `call` evaluates its SLOPES."""
    activation, kind = key
    if kind not in SLOPES:
        return pull(_on_torch(activation, kind, inputs[0]), inputs, bars)
    return tuple(on_torch.weigh(bars[0], slope) for slope in slopes(call, activation, kind, inputs))


class _MatrixMoments(torch.autograd.Function):
    """(activation, mu, symmetric cov, *parameters) -> (mean, cov)."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return evaluate_moments(activation, *tensors)

    @staticmethod
    def backward(ctx: Any, mean_bar: Tensor, cov_bar: Tensor) -> tuple[Tensor | None, ...]:
        mu, cov, *parameters = ctx.saved_tensors
        arguments = (*ctx.key, mu, cov, mean_bar, symmetric(cov_bar), *parameters)
        # pairs are visited once more for the parameters: only for who asks
        wanted = any(ctx.needs_input_grad[3:])
        others = parameter_vjp(*arguments) if wanted else (None,) * len(parameters)
        return None, *moments_vjp(*arguments), *others

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return push(moments_of(ctx.key[0], ctx.saved_tensors[0]), ctx.saved_tensors, tangents[1:])

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str, *tensors: Tensor) -> Any:
        return moments(activation, *_batched(info, dims[1:], tensors)), (0, 0)


class _MatrixVjp(torch.autograd.Function):
    """(activation, mu, symmetric cov, mean_bar, symmetric cov_bar, *parameters) -> (mu_bar, symmetric cov_bar)."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return evaluate_moments_vjp(activation, *tensors)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        return None, *pull(_leading(ctx), ctx.saved_tensors, bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return push(_leading(ctx), ctx.saved_tensors, tangents[1:])

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str, *tensors: Tensor) -> Any:
        return moments_vjp(activation, *_batched(info, dims[1:], tensors)), (0, 0)


def _leading(ctx: Any) -> Callable[..., tuple[Tensor, ...]]:
    """The gradients of mu and cov on torch operations."""
    every = moments_vjp_of(ctx.key[0], ctx.saved_tensors[0])
    return lambda *tensors: every(*tensors)[:2]


class _ParameterVjp(torch.autograd.Function):
    """(activation, mu, symmetric cov, mean_bar, symmetric cov_bar, *parameters) -> the parameters' gradients."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        return evaluate_parameter_vjp(activation, *tensors)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        return None, *pull(_following(ctx), ctx.saved_tensors, bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _as_tuple(push(_following(ctx), ctx.saved_tensors, tangents[1:]))

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str, *tensors: Tensor) -> Any:
        found = parameter_vjp(activation, *_batched(info, dims[1:], tensors))
        return found, (0,) * len(found)


def _following(ctx: Any) -> Callable[..., tuple[Tensor, ...]]:
    """The gradients of the parameters on torch operations."""
    every = moments_vjp_of(ctx.key[0], ctx.saved_tensors[0])
    return lambda *tensors: every(*tensors)[2:]


def _applied(function: Any) -> Callable[..., Any]:
    """`function.apply`, which spends more time on names of arguments than a few neurons take."""
    nameless: Callable[..., Any] = super(torch.autograd.Function, function).apply

    def call(*arguments: Any) -> Any:
        # torch.func, and torch.compile, have a way of their own
        named = torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()
        return (function.apply if named else nameless)(*arguments)

    return call


elementwise = _applied(_Elementwise)
moments = _applied(_MatrixMoments)
moments_vjp = _applied(_MatrixVjp)
parameter_vjp = _applied(_ParameterVjp)
