"""One run of a PyTorch model, recorded at the level of ATen, where every operation of a tensor passes.

The model runs on examples whose values count only for what hooks see. Sizes are numbers, in-place operators and
views are followed, parametrisations and hooks run. Nothing is computed with gradients here: constants are recorded
like everything else and computed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastmoments.graph.frontends.torch_apart import PrimitiveError, taken_apart
from fastmoments.graph.frontends.torch_callers import in_hook, innermost
from fastmoments.graph.frontends.torch_entries import (
    FACTORIES,
    ONLY_IN_TRAINING,
    Entry,
    Facts,
    Leaf,
    Mark,
    Ref,
    RefusalError,
    facts_of,
    functional,
    is_still,
    refs_of,
    tensors_of,
)
from fastmoments.graph.frontends.torch_memory import (
    Memory,
    copied,
    filled,
    geometry_of,
    length_of,
    meet,
    memory_of,
    overlaid,
    restrided,
)
from fastmoments.graph.frontends.torch_runs import ROW_BY_ROW, product_of
from fastmoments.graph.nodes import Input, Node, evaluate

OVERLAID = ("old", "new", "own", "written", "length")  # what `overlaid` is given
DRAWS = "the model draws random numbers, of which one draw would be kept"
DEPENDS = "what the model does depends on values of its input, not on their shape alone"
ADVICE = "call model.eval(), give what draws a rule (docs/networks.md), or propagate the parts before and after it"


class Recorder(TorchDispatchMode):
    """The operations of one run.

    `names` are those of modules by their id, `known` those of operations that need not be taken apart. `earlier`
    has the entries of a run whose products are taken over where rows are known not to meet.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # else PyTorch imports its compiler when the first operation is recorded, which takes longer than the rest
        return False

    def __init__(self, names: dict[int, str], known: set[str], earlier: list[Entry] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names, self.known, self.earlier = names, known, earlier
        self.entries: list[Entry] = []
        self.refused: RefusalError | None = None
        self.paused, self.builds, self.run = False, True, object()
        self.meant: dict[int, Tensor] = {}  # the tensors that others stand for, by the others' ids

    def refuse(self, kind: type[Exception], message: str) -> RefusalError:
        """Return an error that counts even if the model catches it."""
        error = RefusalError(kind, message)
        self.refused = self.refused or error
        return error

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Let operations through that are not the model's."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    def begin(self, tensor: Tensor, name: str) -> None:
        """Mark an input of the model."""
        self._add(Entry(None, name, [], {}, name, True, []), [tensor], ())

    def mark_of(self, tensor: Any) -> Mark | None:
        """Return the mark of a tensor: None for the model's own, and for what an earlier run left behind."""
        mark = getattr(tensor, "_fastmoments", None) if isinstance(tensor, Tensor) else None
        return mark if mark is not None and mark.run is self.run else None

    def ref_of(self, tensor: Any) -> Ref | None:
        """The Ref of a tensor's present value, behind all writes to its memory."""
        mark = self.mark_of(tensor)
        if mark is None:
            return None
        writes = mark.memory.writes
        if mark.seen == len(writes):
            return mark.ref
        own = geometry_of(tensor)
        for ref, geometry, depends in writes[mark.seen :]:
            if not meet(geometry, own, length_of(tensor)):
                continue
            if geometry != own:
                depends = depends or mark.depends
                args = [mark.ref, ref, own, geometry, length_of(tensor)]
                entry = Entry(overlaid, "overlay", args, {}, self.path(), depends, [tensor.clone()], OVERLAID)
                self.entries.append(entry)
                ref = Ref(len(self.entries) - 1, 0)
            mark.ref, mark.depends = ref, depends
        mark.seen = len(writes)
        return mark.ref

    def depends(self, *values: Any) -> bool:
        """Whether a tensor among the values comes from the model's input."""
        return self._depends(tensors_of(values))

    def _depends(self, tensors: list[Tensor]) -> bool:
        found = False
        for x in tensors:
            if self.ref_of(x) is not None:
                found = x._fastmoments.depends or found  # type: ignore[attr-defined]
        return found

    def path(self) -> str:
        """The innermost module that is being called."""
        return innermost(self.names)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        facts = facts_of(func)
        name = facts.name
        tensors = tensors_of(args) + tensors_of(kwargs)
        depends = self._depends(tensors)
        self._check(facts, args, depends)
        if name == "_local_scalar_dense":
            return func(*args, **kwargs)
        if depends and any(x.layout is not torch.strided for x in tensors):
            raise self.refuse(TypeError, f"{self.path()}: {name}: a sparse tensor has no rule; use to_dense()")
        if depends and func.namespace == "prims":
            raise PrimitiveError
        if depends and name not in self.known:
            with self:
                found = taken_apart(func, args, kwargs)
            if found is not NotImplemented:
                return found
        if name in FACTORIES:
            return self._made(func, name, args, kwargs)
        if facts.writes and name not in ONLY_IN_TRAINING:
            return self._write(func, facts, args, kwargs)
        given = [self._recorded(x) for x in args], {key: self._recorded(x) for key, x in kwargs.items()}
        names = facts.names[: len(args)]
        out = None
        if self.earlier is not None and name in ROW_BY_ROW and sum(map(self.depends, args)) == 1:
            out = product_of(self.earlier, len(self.entries), name, args)
        out = func(*args, **kwargs) if out is None else out
        if not isinstance(out, Tensor) and not tensors_of(out):
            return out
        if name == "as_strided":
            x, wanted = given[0][0], geometry_of(out)
            given, names = ([x, geometry_of(args[0]), length_of(args[0]), wanted], {}), ()
            func = restrided
        self._add(Entry(func, name, *given, self.path(), depends, [], names), out, tensors)
        return out

    def leaf(self, module: nn.Module, rule: Callable[..., Node], args: Any, tracked: bool) -> Tensor:
        """Record the call of a module that has a rule, and return its value.

        The rule's node has the parameters that the module has now, with their derivatives if they are `tracked`.
        """
        given, sources = self._recorded(args), [Node(Input(), (), tuple(x.shape[1:]), "input") for x in args]
        with self.pause():
            with torch.set_grad_enabled(tracked):
                node = rule(module, *sources)
            out: Tensor = evaluate(node, dict(zip(sources, args, strict=True)))
        made = node if self.builds else None
        leaf = Leaf(module, made, sources, list(module.parameters()))
        self._add(Entry(leaf, "rule", given, {}, self.names[id(module)], True, []), out, ())
        return out

    def stand_in(self, function: Callable[..., Tensor], name: str, *args: Any) -> Tensor:
        """Record a function of ours in the place of operations of the model, and return its value."""
        given = self._recorded(list(args))
        with self.pause():
            out = function(*args)
        self._add(Entry(function, name, given, {}, self.path(), True, []), out, ())
        return out

    def _made(self, func: Any, name: str, args: Any, kwargs: Any) -> Tensor:
        """Record a tensor that has another's kind and not its values, as a constant."""
        out: Tensor = func(*args, **kwargs)
        value = args[FACTORIES[name]] if isinstance(FACTORIES[name], int) else FACTORIES[name]
        if "empty" in name:
            out.zero_()  # so that both runs have the same
        given = [self._recorded(value), list(out.shape), out.dtype, out.device]
        self._add(Entry(filled, "fill", given, {}, self.path(), self.depends(value), []), out, ())
        return out

    def _recorded(self, value: Any) -> Any:
        """The value with Refs for recorded tensors."""
        if isinstance(value, Tensor):
            return self.ref_of(value) or self.meant.get(id(value), value)
        return [self._recorded(x) for x in value] if isinstance(value, list | tuple) else value

    def _add(self, entry: Entry, out: Any, before: Sequence[Tensor]) -> None:
        """Append an entry, and mark its results, which may be views of the tensors before them."""
        self.entries.append(entry)
        entry.values = list(out) if isinstance(out, list | tuple) else [out]
        for k, value in enumerate(entry.values):
            if isinstance(value, Tensor):
                memory = self._memory(value, before)
                ref = Ref(len(self.entries) - 1, k)
                memory.holders.append((entry, k))
                value._fastmoments = Mark(self.run, ref, memory, entry.depends, len(memory.writes))  # type: ignore

    def _memory(self, tensor: Tensor, before: Sequence[Tensor]) -> Memory:
        """The memory of a result: that of an argument of which it is a view, or its own."""
        if before:
            own = memory_of(tensor)
            for other in before:
                if memory_of(other) == own:
                    mark = self.mark_of(other)
                    return Memory(foreign=True) if mark is None else mark.memory
        return Memory()

    def _check(self, facts: Facts, args: Any, depends: bool) -> None:
        """Raise for random numbers, and for what depends on the input's values."""
        name = facts.name
        if facts.draws and not is_still(facts, args):
            raise self.refuse(TypeError, f"{self.path()}: {name}: {DRAWS}; {ADVICE}")
        if not depends or not facts.looks:
            return
        if name in ("index", "masked_select", "index_put"):  # a known mask has a known number of elements
            depends = self.depends(args[1:2])
        if depends and not in_hook():
            raise self.refuse(TypeError, f"{self.path()}: {name}: {DEPENDS}; use torch.where or write it without")

    def _write(self, func: Any, facts: Facts, args: Any, kwargs: Any) -> Any:
        """Record an in-place operation as a function, and what it wrote to its target's memory."""
        target, path, name = args[0], self.path(), facts.name
        mark = self.mark_of(target)
        if facts.moves and mark is not None:
            function, given, options, names = self._function_of(func, name, args, kwargs)
            mark.memory.keep_values()  # they have the shapes that they had
            out = func(*args, **kwargs)
            self._add(Entry(function, name[:-1], given, options, path, mark.depends, [], names), out, [target])
            return out
        if mark is None or mark.memory.foreign or not name.endswith("_"):
            raise self.refuse(
                ValueError,
                f"{path}: {name}: it writes to a tensor that the model keeps, as modules do in training; call "
                "model.eval(), or write it without",
            )
        function, given, options, names = self._function_of(func, name, args, kwargs)
        self._check_rounding(args, path, name)
        depends = any(self.entries[ref.entry].depends for ref in refs_of((given, options)))
        memory = mark.memory
        memory.keep_values()
        out = func(*args, **kwargs)
        entry = Entry(function, name.rstrip("_"), given, options, path, depends, [target.clone()], names)
        self.entries.append(entry)
        mark.ref, mark.depends = Ref(len(self.entries) - 1, 0), depends
        memory.writes.append((mark.ref, geometry_of(target), depends))
        mark.seen = len(memory.writes)
        return out

    def _check_rounding(self, args: Any, path: str, name: str) -> None:
        """Raise for a write that rounds, which no value of the network would show."""
        own = args[0].dtype
        for x in tensors_of(args[1:]):
            if self.depends(x) and torch.promote_types(x.dtype, own) != own:
                raise self.refuse(TypeError, f"{path}: {name}: it rounds {x.dtype} to {own}; write to {x.dtype}")

    def _function_of(self, func: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, list[Any], Any, Any]:
        """The in-place operation's function of values, its arguments and their names."""
        target = args[0]
        if name == "copy_":
            return copied, [self._recorded(args[1]), list(target.shape), target.dtype], {}, ()
        if name in ("zero_", "fill_"):
            value = self._recorded(args[1]) if len(args) > 1 else 0.0
            return filled, [value, list(target.shape), target.dtype, target.device], {}, ()
        function = functional(func, name[:-1])
        if function is None:
            raise self.refuse(TypeError, f"{self.path()}: {name} has no rule; write it without writing in place")
        given = [self._recorded(x) for x in args], {key: self._recorded(x) for key, x in kwargs.items()}
        return function, *given, facts_of(func).names[: len(args)]
