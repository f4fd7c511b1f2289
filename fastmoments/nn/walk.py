"""The nodes of a traced network in order, and which rule each of them asks for."""

import math
from operator import attrgetter
from threading import Lock, get_ident
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812

from fastmoments.nn import functions
from fastmoments.nn.gaussians import Diagonal, Joint, features_of, flat
from fastmoments.nn.modules import BayesLinear
from fastmoments.nn.rules import (
    Affine,
    activation_of,
    affine_of,
    has_rule,
    linear_of,
    multiple_of,
    shape_of,
)

Node = Any

FEATURES = 4096  # full covariance of more is 128 MB a value in float64 and more
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, BayesLinear)
WIDE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
ADVICE = "write it with the modules and functions fm.nn.propagate lists, or propagate the parts before and after it"


_ONE_AT_A_TIME = Lock()


class _Tracer(fx.Tracer):
    """Torch.fx, which puts its own in place of all modules' calls meanwhile: those of other threads go through."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = get_ident()

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return has_rule(module) or super().is_leaf_module(module, qualified_name)

    def call_module(self, module: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        own = get_ident() == self.thread
        return super().call_module(module, forward, args, kwargs) if own else forward(*args, **kwargs)

    def getattr(self, name: str, value: Any, proxies: dict[str, Any]) -> Any:
        return super().getattr(name, value, proxies) if get_ident() == self.thread else value


class Walk:
    """Values are Gaussians in `state` or known, and dropped behind their last reader."""

    def __init__(self, model: nn.Module, state: Joint | Diagonal, hybrid: bool) -> None:
        model = nn.Sequential(model)  # so that it is called as a user calls it: a rule, hooks and defaults included
        self.model, self.modules, self.state = model, dict(model.named_modules()), state
        self.nodes = _traced(model)
        self.known: dict[str, Any] = {}
        self.memory: dict[str, str] = {}  # a value that only looks at another's memory: whose
        self.last = self._last_weighted() if hybrid else None

    def run(self, mu: Tensor, cov: Tensor) -> tuple[str, Joint | Diagonal]:
        """The name of the model's output, and the state that has its moments."""
        for index, node in enumerate(self.nodes):
            later = {source.name for other in self.nodes[index + 1 :] for source in other.all_input_nodes}
            self.state.kept = later & set(self.state.means)
            if node.op == "output":
                result = node.args[0]
                if not isinstance(result, fx.Node):
                    raise TypeError(f"model: expected one output tensor, got {type(result).__name__}")
                if result.name not in self.state.means:
                    raise TypeError(f"{result.name}: the model's output does not depend on its input")
                return result.name, self.state
            if node.op == "placeholder":
                self.state.start(node.name, mu, cov)
            else:
                self._apply(node)
            for name in set(self.state.means) - later:
                self.state.drop(name)
        raise TypeError("model: it returns nothing")

    def _apply(self, node: Node) -> None:
        target = None if node.op == "call_module" else node.target
        gaussians = [source.name for source in node.all_input_nodes if source.name in self.state.means]
        args, kwargs = _by_position(node, self.known)
        if not gaussians or target in functions.KNOWN:
            self.known[node.name] = self._value(node, args, kwargs)
        elif target in functions.SUMS:
            self._sum(node, args, kwargs.get("alpha", 1.0))
        elif target in functions.NEGATIONS:
            self.state.combine(node.name, [(-1.0, gaussians[0])])
        elif target in functions.PRODUCTS | functions.QUOTIENTS:
            self._multiple(node, *args, **kwargs)
        elif target in functions.JOINS:
            self._join(node, *args, **kwargs)
        elif len(gaussians) > 1:
            raise TypeError(
                f"{node.name}: it combines {' and '.join(gaussians)}, for which it has no rule; {ADVICE}"
            )
        elif target in functions.MATRIX_PRODUCTS and isinstance(args[1], torch.Tensor) and args[1].ndim == 2:
            self._affine(node, node.name, gaussians[0], linear_of(args[1].mT))
        elif target is F.linear:
            self._affine(node, node.name, gaussians[0], linear_of(*args[1:], **kwargs))
        elif target in functions.SHAPES:
            self._reshape(node, gaussians[0], args, kwargs)
        else:
            self._module(node, gaussians[0], self._module_of(node, args, kwargs))

    def _value(self, node: Node, args: Any, kwargs: Any) -> Any:
        """What is no Gaussian: parameters, sizes, and what is made of them."""
        args = fx.node.map_arg(args, lambda n: self.state.means[n.name])
        if node.op == "get_attr":
            return attrgetter(node.target)(self.model)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        if node.target is getattr and args[1] not in ("shape", "ndim", "dtype", "device"):
            raise TypeError(f"{node.name}: attribute {args[1]!r} has no rule; {ADVICE}")
        function = self.modules[str(node.target)] if node.op == "call_module" else node.target
        return function(*args, **kwargs)

    def _module_of(self, node: Node, args: Any, kwargs: Any) -> nn.Module:
        if node.op == "call_module":
            called: nn.Module = self.modules[str(node.target)]
            return called
        if node.target in functions.MODULES:
            return functions.MODULES[node.target](*args[1:], **kwargs)
        raise TypeError(f"{node.name}: {getattr(node.target, '__name__', node.target)} has no rule; {ADVICE}")

    def _module(self, node: Node, old: str, module: nn.Module) -> None:
        name, mean = node.name, self.state.means[old]
        if node.op == "call_module":
            name = str(node.target).removeprefix("0.")
            _run_hooks(name, module, mean)
        if getattr(module, "inplace", False):
            self._check_overwritten(name, old)
        affine, activation = affine_of(module), activation_of(module, tuple(mean.shape[1:]))
        if affine is not None:
            if isinstance(module, WIDE) and isinstance(self.state, Joint) and features_of(mean) > FEATURES:
                raise ValueError(
                    f"{name}: full covariance of {features_of(mean)} features, more than {FEATURES}; "
                    'use covariance="diagonal"'
                )
            self._affine(node, name, old, affine)
        elif activation is not None:
            self.state.activation(node.name, old, activation)
        else:
            raise TypeError(
                f"{name}: {type(module).__name__} has no rule; use a module that fm.nn.propagate lists, for an "
                "elementwise function fm.nn.Activation(fm.Custom(...)), or propagate the parts before and after it"
            )

    def _affine(self, node: Node, name: str, old: str, affine: Affine) -> None:
        if node is self.last and isinstance(self.state, Diagonal):
            self.state = _with_full_covariance(self.state, old)
        if affine.unchanged:
            mean = self.state.means[old]
            if affine.module(mean).shape[:1] != mean.shape[:1]:
                raise ValueError(f"{name}: it mixes the batch's dimension, the first, with others")
            self.memory[node.name] = self.memory.get(old, old)
        self.state.affine(node.name, old, affine)

    def _check_overwritten(self, name: str, old: str) -> None:
        owner = self.memory.get(old, old)
        for value in sorted(self.state.kept):
            if self.memory.get(value, value) == owner:
                raise ValueError(f"{name}: it overwrites {value}, which is read again; use inplace=False")

    def _reshape(self, node: Node, old: str, args: Any, kwargs: Any) -> None:
        def reshaped(x: Tensor) -> Tensor:
            function = getattr(torch.Tensor, node.target) if node.op == "call_method" else node.target
            result: Tensor = function(x, *args[1:], **kwargs)
            return result

        self._affine(node, node.name, old, shape_of(reshaped))

    def _sum(self, node: Node, args: Any, alpha: float) -> None:
        terms, constant = [], 0.0
        for factor, value in zip((1.0, functions.SUMS[node.target] * alpha), args, strict=True):
            if isinstance(value, fx.Node):
                terms.append((factor, value.name))
            else:
                constant = constant + factor * value
        self._check_constant(node, terms[0][1], constant)
        self.state.combine(node.name, terms, constant)

    def _multiple(self, node: Node, one: Any, two: Any, rounding_mode: str | None = None) -> None:
        if rounding_mode is not None:
            raise TypeError(f"{node.name}: a quotient rounded to integers has no rule; {ADVICE}")
        divides = node.target in functions.QUOTIENTS
        if isinstance(two, fx.Node) and (divides or isinstance(one, fx.Node)):
            raise TypeError(f"{node.name}: a product or quotient of two values is not Gaussian; only multiples are")
        value, factor = (one, two) if isinstance(one, fx.Node) else (two, one)
        factor = 1.0 / factor if divides else factor
        if isinstance(factor, torch.Tensor):
            self._check_constant(node, value.name, factor)
            self.state.affine(node.name, value.name, multiple_of(factor))
        else:
            self.state.combine(node.name, [(factor, value.name)])

    def _check_constant(self, node: Node, name: str, constant: Any) -> None:
        """Raise for what would give the value another shape, or every row of the batch its own numbers."""
        one_row = (1, *self.state.means[name].shape[1:])
        shape = getattr(constant, "shape", ())
        if np.broadcast_shapes(shape, one_row) != one_row:
            raise ValueError(f"{node.name}: expected a constant that broadcasts to {one_row}, got {tuple(shape)}")

    def _join(self, node: Node, tensors: Any, dim: int = 0) -> None:
        if not all(isinstance(value, fx.Node) for value in tensors):
            raise TypeError(f"{node.name}: a constant beside values has no rule; {ADVICE}")
        names = [value.name for value in tensors]
        shapes = [self.state.means[name].shape for name in names]
        along = dim % len(shapes[0])
        # one behind the other as flat values too, if nothing but 1 stands before that dimension
        if along == 0 or math.prod(shapes[0][1:along]) != 1:
            raise ValueError(
                f"{node.name}: values are joined along the first dimension behind the batch's, got {dim}"
            )
        self.state.join(node.name, names, along)

    def _last_weighted(self) -> Node:
        def is_weighted(node: Node) -> bool:
            if node.op == "call_module":
                return isinstance(self.modules[str(node.target)], WEIGHTED)
            return node.target is F.linear

        found = [node for node in self.nodes if is_weighted(node)]
        if not found:
            raise ValueError('covariance: "hybrid" needs a layer with weights; use "full" or "diagonal"')
        return found[-1]


def _traced(model: nn.Module) -> list[Node]:
    try:
        with _ONE_AT_A_TIME:
            return list(_Tracer().trace(model).nodes)
    except Exception as error:
        raise TypeError(f"model: torch.fx cannot trace it, a network of one input ({error}); {ADVICE}") from error


def _by_position(node: Node, known: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The arguments of a call, values first, whether they were named or not."""
    args, kwargs = (fx.node.map_arg(x, lambda n: known.get(n.name, n)) for x in (node.args, node.kwargs))
    named = {"dim" if name == "axis" else name: value for name, value in kwargs.items()}
    before = tuple(named.pop(name) for name in ("input", "tensors") if name in named)
    behind = (named.pop("other"),) if "other" in named else ()
    return (*before, *args, *behind), named


def _run_hooks(name: str, module: nn.Module, value: Tensor) -> None:
    """What PyTorch runs around `forward`: weight_norm or prune set parameters there, others look on."""
    before, behind = module._forward_pre_hooks, module._forward_hooks
    named = module._forward_pre_hooks_with_kwargs, module._forward_hooks_with_kwargs
    changed = [hook(module, (value,), *({},) * (key in named[0])) for key, hook in before.items()]
    if behind:
        output = module.forward(value.clone())
        changed += [hook(module, (value,), *({},) * (key in named[1]), output) for key, hook in behind.items()]
    if any(x is not None for x in changed):
        raise ValueError(f"{name}: a hook changes what goes in or comes out, which has no rule; remove it")


def _with_full_covariance(state: Diagonal, name: str) -> Joint:
    """The one value that is read from here on, its neurons uncorrelated."""
    others = set(state.means) - {name}
    if others:
        raise ValueError(f'covariance: "hybrid" cannot carry {sorted(others)[0]} around the last layer; use "full"')
    joint, var = Joint(), state.vars[name]
    joint.start(name, state.means[name], torch.diag_embed(flat(var)))
    return joint
