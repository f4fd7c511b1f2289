"""PyTorch models at many points; without a graph, what is random or mixes rows is found on a few examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from fastmoments.checked.arrays import COMPLEX
from fastmoments.checked.drawing import is_random
from fastmoments.checked.torch_states import Generators, Kept
from fastmoments.graph.frontends.own_rules import Rule
from fastmoments.graph.frontends.torch import check_kinds, check_numbers, not_a_model
from fastmoments.graph.frontends.torch_callers import in_hook
from fastmoments.graph.frontends.torch_entries import facts_of
from fastmoments.graph.frontends.torch_functions import LOOKS
from fastmoments.graph.frontends.torch_model import examples_of, where_changed
from fastmoments.graph.frontends.torch_modules import rules_of, stopping, unwrapped
from fastmoments.graph.frontends.torch_runs import close
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Input, Node, Shape

DRAWS = (
    "{}: the model draws random numbers, which would not be those of the points; call model.eval(), or give what "
    "draws a rule with a way to draw it (docs/networks.md)"
)
DIFFERS = (
    "model: two runs of it on the same inputs differ: it is random, or keeps what an earlier call computed; call "
    "model.eval(), or give what draws a rule with a way to draw it (docs/networks.md)"
)
NOISE = (
    "{}: it draws noise of its own, which is drawn of the points only where the model has a graph; propagate the "
    "parts before and after it"
)
MEETS = (
    "model: its output for an input depends on the others in the batch, or on their number; the rows of a batch "
    "must not meet"
)


def batch_of(model: Any, inputs: Inputs, parts: Callable[[Any, int], list[Tensor]]) -> Any:
    """Return what runs the model itself on a batch, for a model in whose graph nothing is random."""
    model = unwrapped(model)

    def batch(rows: list[Tensor], uniforms: Tensor | None) -> list[Tensor]:
        dtype = rows[0].dtype
        with Generators(rows[0].device) as watched:
            out = _called(model, inputs, rows)
            if watched.have_moved():
                raise TypeError(DRAWS.format(_who_draws(model, inputs, rows)))
        return [_real(part, dtype) for part in parts(out, len(rows[0]))]

    return batch


def without_graph(
    model: Any, inputs: Inputs, rules: Mapping[type, Rule]
) -> tuple[Any, list[Shape], Callable[[Sequence[Tensor], bool], Any]]:
    """Return what runs a batch, the shapes of the outputs, and what makes the model's structure of them.

    A model that asks for values of its input, as `if x.sum() > 0` does, runs row by row: nothing else tells what it
    does with one input. All others run by batches.
    """
    with suppress(TypeError):  # scripted ones hide their operations, but run
        model = unwrapped(model)
    if not callable(model):
        raise not_a_model(model)
    for name, parameter in model.named_parameters() if isinstance(model, torch.nn.Module) else ():
        check_numbers(name, parameter)
    examples = examples_of(inputs.means)
    with torch.no_grad(), Generators(examples[0].device) as watched, Kept(model) as kept:
        found = _tried(model, inputs, examples, rules_of(model, rules))
        kept.check()
        if watched.have_moved():
            raise TypeError(DRAWS.format(_who_draws(model, inputs, examples)))
        watched.move()
        again = _tried(model, inputs, examples, {})
        if not all(map(close, found.parts, again.parts)):
            raise TypeError(DIFFERS)
        if found.at_once:
            _check_rows(model, inputs, examples, found.parts)

    def batch(rows: list[Tensor], uniforms: Tensor | None) -> list[Tensor]:
        dtype = rows[0].dtype
        if found.at_once:
            parts = _parts(_called(model, inputs, rows), len(rows[0]))
        else:
            parts = _row_by_row(model, inputs, rows)
        return [_real(part, dtype) for part in parts]

    def rebuild(values: Sequence[Tensor], single: bool) -> Any:
        given = iter([x[0] if single else x for x in values])
        return pytree.tree_unflatten([None if x is None else next(given) for x in found.leaves], found.tree)

    return batch, [tuple(part.shape[1:]) for part in found.parts], rebuild


def _real(part: Tensor, dtype: torch.dtype) -> Tensor:
    if part.is_complex():
        raise TypeError(COMPLEX)
    return part.to(dtype)


class _Trial(NamedTuple):
    """Outputs of a run on examples, the model's structure of them, and whether rows may run at once."""

    parts: list[Tensor]
    leaves: list[Any]
    tree: Any
    at_once: bool


def _called(model: Any, inputs: Inputs, rows: Sequence[Tensor]) -> Any:
    """Call the model with copies of the rows, for it may write to them."""
    args, kwargs = inputs.arguments([x.clone() for x in rows])
    return model(*args, **kwargs)


def _parts(out: Any, rows: int) -> list[Tensor]:
    """The outputs (rows, *shape)."""
    found = [x for x in pytree.tree_leaves(out) if x is not None]
    for x in found:
        if not isinstance(x, Tensor):
            raise TypeError(f"model: it returns {type(x).__name__} beside tensors; return it apart")
        if x.shape[:1] != (rows,):
            raise ValueError(
                f"model: for {rows} inputs it returns the shape {tuple(x.shape)}: the batch must stay the first "
                "dimension"
            )
    return found


def _tried(model: Any, inputs: Inputs, examples: list[Tensor], rules: Mapping[nn.Module, Rule]) -> _Trial:
    """Run the model on all examples at once, or row by row if it looks at values or raises for several."""
    named = model.named_modules() if isinstance(model, nn.Module) else ()
    names = {id(module): name or "model" for name, module in named}

    def stop(module: nn.Module) -> Callable[..., Any]:
        return _without_noise(module, rules[module], names[id(module)])

    looks = _Looks()
    with stopping(rules, stop):
        try:
            with looks, looks.calls:
                out = _called(model, inputs, examples)
            at_once = not looks.looked
        except _NoiseError as error:
            raise TypeError(str(error)) from None
        except Exception:  # of several inputs, perhaps
            at_once = False
        if not at_once:
            out = _of_one(model, inputs, examples, 0)
        parts = _parts(out, len(examples[0])) if at_once else _row_by_row(model, inputs, examples)
    leaves, tree = pytree.tree_flatten(out)
    return _Trial(parts, [None if x is None else 0 for x in leaves], tree, at_once)


def _row_by_row(model: Any, inputs: Inputs, rows: Sequence[Tensor]) -> list[Tensor]:
    found = [_parts(_of_one(model, inputs, rows, k), 1) for k in range(len(rows[0]))]
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def _of_one(model: Any, inputs: Inputs, rows: Sequence[Tensor], k: int) -> Any:
    """Call the model with one of the inputs alone."""
    try:
        return _called(model, inputs, [x[k : k + 1] for x in rows])
    except _NoiseError as error:
        raise TypeError(str(error)) from None
    except Exception as error:
        check_kinds(model, rows)  # the likely cause, named
        shapes = ", ".join(str((1, *x.shape[1:])) for x in rows)
        raise ValueError(
            f"model: it raises for inputs of shape {shapes}: {type(error).__name__}: {error}"
        ) from error


def _check_rows(model: Any, inputs: Inputs, examples: Sequence[Tensor], together: Sequence[Tensor]) -> None:
    """Raise unless every example alone has the output that it has among others."""
    for k in range(len(examples[0])):
        alone = _parts(_of_one(model, inputs, examples, k), 1)
        if not all(close(one, whole[k : k + 1]) for one, whole in zip(alone, together, strict=True)):
            raise ValueError(MEETS)


class _NoiseError(Exception):
    """A module of the model has noise of its own."""


def _without_noise(module: nn.Module, rule: Rule, name: str) -> Callable[..., Any]:
    """The module's forward, which raises if its rule is one of something random."""
    forward = module.forward

    def checked(*args: Any, **kwargs: Any) -> Any:
        sources = [Node(Input(), (), tuple(x.shape[1:]), "input") for x in args if isinstance(x, Tensor)]
        try:
            node = rule(module, *sources)
        except Exception:  # of a value that the rule is not for
            return forward(*args, **kwargs)
        if is_random([node]):
            raise _NoiseError(NOISE.format(name))
        return forward(*args, **kwargs)

    return checked


class _Looks(TorchDispatchMode):
    """Whether a run asks for values, on which all it does then may depend; hooks may look."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.looked = False
        self.calls = _Calls(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        facts = facts_of(func)
        # a mask that is written to leaves every row in its place
        if facts.looks and facts.name != "index_put" and not (facts.name == "index" and not _has_mask(args[1])):
            self.looked = self.looked or not in_hook()
        return func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    """The same of what takes values to Python without an operation."""

    def __init__(self, looks: _Looks) -> None:
        super().__init__()
        self.looks = looks

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LOOKS and not in_hook():
            self.looks.looked = True
        return func(*args, **(kwargs or {}))


def _has_mask(indices: Any) -> bool:
    return any(isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8) for x in indices)


def _who_draws(model: Any, inputs: Inputs, rows: Sequence[Tensor]) -> str:
    """The path of the module that draws."""
    return where_changed(model, Generators(rows[0].device).state, lambda: _called(model, inputs, rows))
