"""Tracing: a Python function runs once, and what it computed, read and changed is written down."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from ..core.autograd.engine import grad as tape_grad
from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import MISSING, Untraceable
from ..core.dispatch import checks
from ..core.dispatch.host_numbers import HostNumber
from ..core.tape.nodes import AccumulateGrad
from ..core.tensor import tree
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor, blank, wrap
from ..nn.parameter import Parameter
from . import backwards
from .effects import Deferred, Mutation
from .guards import frames
from .guards.modules import GlobalHooks, Groups, Leaf, Parts, is_library_class
from .guards.places import Attribute, Item, Place
from .guards.shadow import Refused
from .guards.symbols import LATER
from .guards.values import is_number
from .inputs import Inputs
from .moving import Moving, choose
from .node import graph, saved_on_tape, spent, used_up
from .plan import ARGUMENT, AT, LEAF, LOOK, MADE, OFF, SAME, USED_UP, Effect, Recipe
from .recorder import Recorder
from .templates import Describer


class Failed(Exception):
    """A trace that has failed: with which error, and what had been read until then (None: nothing is known)."""

    def __init__(self, error: Exception, reads: Any):
        super().__init__(error)
        self.error, self.reads = error, reads


class Again(Exception):
    """The trace is to be made once more, with the numbers in these places as inputs."""

    def __init__(self, places: dict[Any, Place]):
        super().__init__()
        self.places = places


class Conflict(Exception):
    """Arguments that have to be taken by identity, since the function reaches them on another way too."""

    def __init__(self, arguments: frozenset[int]):
        super().__init__(arguments)
        self.arguments = arguments


class Capture:
    """One trace of a function, for one signature.

    `bound` are the numbers of the arguments that enter the trace as themselves rather than as stand-ins: they are then
    state like everything else that the function finds.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        leaves: list[Any],
        treedef: Any,
        bound: frozenset[int],
        inputs: Inputs,
    ):
        if not frames.readable():
            raise Failed(
                Untraceable("the frames of this Python interpreter can't be read, so nothing could be watched"), None
            )
        self.recorder = Recorder()
        self.expressions: list[Any] = []
        self.expression_numbers: dict[int, int] = {}
        self.inputs_known = inputs
        self.tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        self.stand_ins: list[Tensor] = []
        self.inputs = self._choose_inputs(bound)
        self.outputs: list[Any] = []
        self.output_numbers: dict[int, int] = {}
        self.recipes: list[Recipe] = []
        self.recipe_numbers: dict[int, int] = {}
        self.live: list[Any] = []
        self.inner: frozenset[int] = frozenset()
        self.wanted: list[tuple[Any, int | None]] = []
        self.seeds: list[Any] = []
        self.kept: list[Any] = []  # objects whose ids are in use
        self.young: set[int] | None = None  # ids of objects that were made since the trace began
        watcher = self.recorder.watcher

        def traced(*arrays: Any) -> list[Any]:
            stood = iter(self._stand_in(arrays, bound))
            grad_state.trace = self.recorder
            self.tracer: Any = jax.numpy.zeros(())  # by which the values of this trace are known
            self.recorder.level = self.tracer._trace  # type: ignore[attr-defined]
            full = [
                next(stood) if isinstance(leaf, Tensor) else self._leaf_value(i, leaf) for i, leaf in enumerate(leaves)
            ]
            args, kwargs = tree.unflatten(full, treedef)
            watcher.begin(function, full, (args, kwargs))
            watcher.start()
            try:
                result = function(*args, **kwargs)
            finally:
                watcher.stop()
            if watcher.refused is not None:
                raise watcher.refused
            self._collect(result, bound)
            return self.outputs

        self.recorder.root = traced.__code__
        previous, before = grad_state.trace, (grad_state.grad, grad_state.inference, grad_state.autocast)
        inputs.install(self.recorder.reads)
        try:
            self.jaxpr = jax.make_jaxpr(traced)(*[self.tensors[i]._array if dense else self.tensors[i]._storage.value
                                                  for i, dense in self.inputs])  # fmt: skip
        except BaseException as error:
            self._end(previous, before)
            self.recorder.writes.undo_unnoticed(self.recorder.begun())
            self.recorder.give_up()
            inputs.restore()
            watcher.end()
            self._let_go()
            if watcher.refused is not None and isinstance(error, (Refused, Exception)):
                own = watcher.refused.__traceback__  # from the line that needed a value
                error = watcher.refused.with_traceback(own or error.__traceback__)
            if watcher.taken - bound:  # what it found may have been wrong
                raise Conflict(frozenset(watcher.taken | bound)) from None
            if isinstance(error, (Again, Conflict)) or not isinstance(error, Exception):
                raise
            self.recorder.reads.finish({})
            raise Failed(error, None if watcher.weak else self.recorder.reads) from None
        self._end(previous, before)
        inputs.restore()
        try:
            self._note_dependencies()
            self._note_survivors()
        finally:
            watcher.end()

    def _let_go(self) -> None:
        """Have JAX forget a failed trace: a constant's finalizer would keep it, and it the constant."""
        level = self.recorder.level
        if level is not None and hasattr(level, "invalidate"):
            level.invalidate()

    def _leaf_value(self, i: int, leaf: Any) -> Any:
        if i in self.inputs_known.leaves and is_number(leaf):
            self.recorder.number_leaves = True
            return self.recorder.reads.given(i, leaf)
        return leaf

    def _note_survivors(self) -> None:
        """Let each call also update the results that the function has kept somewhere (`self.loss = loss; return loss`)."""
        self.live = [SimpleNamespace(shape=t.shape, _np_dtype=t._np_dtype) for t in self.live]
        self.recorder.edges.clear()
        self.recorder.demands.clear()
        found = [
            (weakref.ref(t), self.recipes[self.recipe_numbers[id(t)]])
            for t in self.kept
            if isinstance(t, Tensor) and isinstance(t._storage.value, jax.core.Tracer)
        ]
        self.kept.clear()
        if any(ref() is not None for ref, _ in found):
            gc.collect()
        for ref, recipe in found:
            tensor = ref()
            if tensor is None or recipe.kind == ARGUMENT:
                continue
            number = (
                self.recipes[recipe.what[1]].what if recipe.kind == LOOK and recipe.what[0] == MADE else recipe.what
            )
            if recipe.kind == MADE and tensor._view is not None:
                tensor._storage, tensor._view, tensor._base = Storage(tensor._storage.value), None, None
            if isinstance(number, int):
                self.left.append((tensor._storage, number))
            if recipe.live >= 0:
                self.edges.append((tensor, None, recipe.live))
            elif recipe.dead:
                tensor._edge = spent()

    def _end(self, trace: Any, modes: Any) -> None:
        grad_state.trace = trace
        grad_state.grad, grad_state.inference, grad_state.autocast = modes
        self.recorder.restore()
        for tensor, stand_in in zip(self.tensors, self.stand_ins, strict=False):
            if stand_in is not tensor and isinstance(stand_in._storage.value, jax.core.Tracer):
                # the function may have kept it in an object: then it has the values of this call
                stand_in._storage, stand_in._view = tensor._storage, tensor._view

    def _note_dependencies(self) -> None:
        """What the program depends on beside the modules that were called."""
        recorder = self.recorder
        for module in recorder.modules:
            owner = (
                type(module) if is_library_class(type(module)) else module
            )  # their attributes have a guard of their own
            for place in self.inputs_known.places.values():
                if place.owner is module:
                    recorder.reads.look_at_number(place)
            if not recorder.writes.is_written(place := Attribute(owner, "forward")):
                recorder.reads.place(place, place.get())
        known = {id(p) for module in recorder.modules for p in module._parameters.values()}
        leaves = [t for _, t in recorder.sources.values() if isinstance(t, Tensor) and id(t) not in known]
        others = [
            *(Parts(module) for module in recorder.reached if module not in recorder.modules),
            *(Groups(optimizer) for optimizer in recorder.optimizers),
            *(Leaf(tensor) for tensor in leaves if tensor._edge is not None and id(tensor) not in self.moving.at),
            GlobalHooks(),
        ]
        recorder.modules.update(dict.fromkeys(others))

    # --- arguments ------------------------------------------------------------------------------------------------

    def _choose_inputs(self, bound: frozenset[int]) -> list[tuple[int, bool]]:
        """Which arguments' values are inputs (number, whether as the tensor shows them or its whole storage)."""
        tensors = self.tensors
        objects: dict[Any, set[int]] = {}
        for tensor in tensors:
            objects.setdefault(tensor._storage, set()).add(id(tensor))
        chosen: dict[Any, tuple[int, bool]] = {}
        for i, tensor in enumerate(tensors):
            if i not in bound:
                chosen.setdefault(tensor._storage, (i, len(objects[tensor._storage]) == 1))
        return list(chosen.values())

    def _stand_in(self, arrays: Sequence[Any], bound: frozenset[int]) -> list[Tensor]:
        """What the function gets for its tensors: others of the same kind, on storages of their own."""
        storages: dict[Any, tuple[Storage, bool]] = {}
        for (i, dense), array in zip(self.inputs, arrays, strict=True):
            storages[self.tensors[i]._storage] = Storage(array), dense
        known: dict[int, Tensor] = {}
        for i, tensor in enumerate(self.tensors):
            if i in bound:
                self.stand_ins.append(tensor)
                continue
            made = known.get(id(tensor))
            if made is None:
                storage, dense = storages[tensor._storage]
                made = known[id(tensor)] = blank(type(tensor), storage, None if dense else tensor._view)
                if tensor.requires_grad:
                    made.requires_grad_()
                    if backwards.hooked(tensor._tape_edge()):
                        made.register_hook(backwards.refuse_hooks)
            self.stand_ins.append(made)
            self.recorder.watcher.originals.setdefault(id(made), (i, tensor))
            if tensor.__dict__:
                made.__dict__.update(tensor.__dict__)
            self.recorder.stand_ins[id(made)] = made
            if not tensor.is_contiguous() and made._view is None:
                self.recorder.strided[id(made)] = made
        self.arrays_before = [(s, s.value) for s, _ in storages.values()]
        return self.stand_ins

    # --- what the trace has made ----------------------------------------------------------------------------------

    def _emit(self, array: Any) -> int:
        # one value that several tensors hold (the step count of an optimizer's parameters) stays one array
        number = self.output_numbers.get(id(array))
        if number is None:
            number = self.output_numbers[id(array)] = len(self.outputs)
            self.outputs.append(array)
        return number

    def _collect(self, result: Any, bound: frozenset[int]) -> None:
        """Within the trace: all that the program has to give, as a flat list of arrays and how to make tensors of them."""
        recorder = self.recorder
        self.place = {id(s): i for i, s in reversed(list(enumerate(self.stand_ins))) if i not in bound}
        self.homes: dict[Any, int] = {}  # storages of stand-ins that are whole tensors
        for i, stand_in in enumerate(self.stand_ins):
            if i not in bound and self.tensors[i]._view is None and stand_in._view is None:
                self.homes.setdefault(stand_in._storage, i)
        watcher = recorder.watcher
        changed = recorder.writes.unnoticed(recorder.begun())
        if changed:
            raise Untraceable(f"code that could not be followed changes a {changed[0]}")
        self._check_numbers()
        self.moving = self._choose_moving()
        self.describer = Describer(self._recipe, self._number, watcher.was_there, watcher.arguments, self.moving.inner)
        self.result = self.describer.describe(result)
        self.grads = [
            (tensor, None if tensor._grad is None else self._recipe(tensor._grad))
            for tensor, before in recorder.grads.items()
            if tensor._grad is not before and self._is_outside(tensor)
        ]
        self.effects = self._effects()
        self.handed_out = self.describer.recipes
        self.argument_grads = [
            (i, self._emit(s._grad._array))
            for i, s in enumerate(self.stand_ins)
            if id(s) in self.place and s._grad is not None
        ]
        self.edges = self._changed_edges()
        self.argument_writes = [
            (self._argument_of(storage), self._emit(storage.value))
            for storage, before in self.arrays_before
            if storage.value is not before
        ]
        self.writes = [(recorder.owners[s], self._emit(recorder.values[s])) for s in recorder.written]
        self._check_optimizers()
        self.left = [(t._storage, self._emit(t._storage.value)) for t in self._left_behind()]
        demands, recorder.demands = recorder.demands, []
        self.refusals = [demand.refusal for demand in demands]
        self.word = self._emit(checks.word(demands)) if demands else None
        self.plain = len(self.outputs)
        if self.live:
            self._collect_gradients()
        self._check_conflicts(bound)

    def _argument_of(self, storage: Storage) -> tuple[int, bool]:
        """The argument through which a stand-in's storage is written back, and whether the whole storage is written."""
        for i, dense in self.inputs:
            if self.stand_ins[i]._storage is storage:
                return i, not dense
        raise AssertionError("a stand-in's storage belongs to no argument")

    def _is_outside(self, tensor: Tensor) -> bool:
        """Whether a tensor was there before the trace (or was made outside of it, as new state)."""
        storage = tensor._storage
        return storage in self.recorder.values or not isinstance(storage.value, jax.core.Tracer)

    def _choose_moving(self) -> Moving:
        recorder = self.recorder
        called = {id(table) for m in recorder.modules for table in (m._parameters, m._buffers)}
        for place in self.inputs_known.moving.values():
            if id(place.owner) in called and not recorder.writes.is_written(place):
                recorder.reads.place(place, place.get())
        tensors = [source for _, source in recorder.sources.values() if isinstance(source, Tensor)]
        fixed = {id(p) for optimizer in recorder.optimizers for g in optimizer.param_groups for p in g["params"]}
        fixed |= {id(tensor) for group in recorder.together for tensor in group}
        moving = choose(
            recorder.reads,
            recorder.writes,
            self.inputs_known.moving,
            fixed,
            {t._storage for t in tensors},
            recorder.watcher.compared_containers,
        )
        moving.add_gradients(recorder.grads)
        held = {id(value) for _, value in recorder.reads.places.values()}
        moving.follow(t for t in tensors if id(t) not in held and not isinstance(t, Parameter))
        return moving

    def _number(self, expression: Any) -> int:
        number = self.expression_numbers.get(id(expression))
        if number is None:
            number = self.expression_numbers[id(expression)] = len(self.expressions)
            self.expressions.append(expression)
        return number

    def _check_numbers(self) -> None:
        """Numbers that the function reads and replaces (counters, averages) are inputs of the program."""
        recorder = self.recorder
        found: dict[Any, Place] = {}
        reads, writes = recorder.reads, recorder.writes
        replaced = {key: place.get() for key, (place, _) in writes.places.items()}
        for entry in writes.log:
            if isinstance(entry, Mutation) and isinstance(entry.container, dict) and len(entry.args) == 2:
                item = Item(entry.container, entry.args[0])
                replaced[item.key] = item.get()
        for key, after in replaced.items():
            if key in reads.places:
                place, before = reads.places[key]
                if is_number(before) and (is_number(after) or isinstance(after, HostNumber)):
                    found[key] = place
        if found:
            raise Again(found)

    def _effects(self) -> list[Effect]:
        """What each call has to do to Python's own objects."""
        writes, describe = self.recorder.writes, self.describer.describe
        effects = []
        for entry in writes.log:
            if isinstance(entry, Place):
                after = entry.get()
                effects.append(Effect(entry, None, [] if after is MISSING else [describe(after)], {}))
                continue
            if any(a is LATER for a in entry.args):
                raise Untraceable("it changes a container in a way that could not be followed")
            args = [describe(a) for a in entry.args]
            kwargs = {k: describe(v) for k, v in entry.kwargs.items()}
            function = entry.function
            if isinstance(entry, Mutation):
                args = [describe(entry.container), *args]
            else:
                assert isinstance(entry, Deferred)
            effects.append(Effect(None, function, args, kwargs))
        return effects

    def _recipe(self, tensor: Tensor) -> int:
        number = self.recipe_numbers.get(id(tensor))
        if number is None:
            recipe = self._describe(tensor)
            number = self.recipe_numbers[id(tensor)] = len(self.recipes)
            self.recipes.append(recipe)
            self.kept.append(tensor)
        return number

    def _describe(self, tensor: Tensor) -> Recipe:
        if id(tensor) in self.place:
            return Recipe(ARGUMENT, self.place[id(tensor)])
        storage, view = tensor._storage, tensor._view
        if tensor.__dict__ and isinstance(storage.value, jax.core.Tracer):
            raise Untraceable(f"it gives out a tensor with attributes of its own ({next(iter(tensor.__dict__))!r})")
        edge: Any = tensor._tape_edge()
        is_leaf = edge is not None and type(edge[0]) is AccumulateGrad
        computed = edge is not None and not is_leaf
        owner = self.recorder.owners.get(storage, tensor)
        if self._is_outside(tensor) and owner is tensor and not computed and self._is_young(tensor):
            return Recipe(LOOK, (AT, source) if (source := self.moving.at.get(id(tensor))) else (SAME, tensor), view,
                          type(tensor), leaf=is_leaf)  # fmt: skip
        if self._is_outside(tensor) and (not computed or edge[0].order < self.recorder.start or owner is tensor):
            if id(tensor) in self.moving.leaves:
                return Recipe(AT, self.moving.at[id(tensor)])
            if (source := self.moving.at.get(id(tensor)) or self.moving.at.get(id(owner))) is not None:
                return Recipe(LOOK, (AT, source), view, type(tensor))
            return (
                Recipe(SAME, tensor) if owner is tensor or is_leaf else Recipe(LOOK, (SAME, owner), view, type(tensor))
            )
        live, dead = -1, False
        if computed:
            dead = used_up(edge[0])
            if not dead:
                live = len(self.live)
                self.live.append(tensor)
            return Recipe(MADE, self._emit(tensor._array), None, type(tensor), live, dead)
        if storage in self.homes:
            return Recipe(LOOK, (ARGUMENT, self.homes[storage]), view, type(tensor))
        if view is None and id(storage) not in self.recipe_numbers:
            self.recipe_numbers[id(storage)] = len(self.recipes)  # what looks into the same storage finds it here
            self.kept.append(storage)
            return Recipe(MADE, self._emit(storage.value), None, type(tensor), leaf=is_leaf)
        # tensors that share memory share it at each call, too
        root = self.recipe_numbers.get(id(storage))
        if root is None:
            root = self.recipe_numbers[id(storage)] = len(self.recipes)
            self.recipes.append(Recipe(MADE, self._emit(storage.value)))
            self.kept.append(storage)
        return Recipe(LOOK, (MADE, root), view, type(tensor), leaf=is_leaf)

    def _is_young(self, tensor: Tensor) -> bool:
        """Whether a tensor with memory from outside was made in the trace (`state.detach()`)."""
        if self.young is None:
            self.young = {id(thing) for thing in gc.get_objects(generation=0)}
        return id(tensor) in self.young

    def _changed_edges(self) -> list[tuple[Any, int | None, Any]]:
        """Tensors from outside whose place on the tape the function changes: (tensor, argument, what becomes of it)."""
        changed: list[tuple[Any, int | None, Any]] = []
        for tensor, (before, _, _) in list(self.recorder.edges.items()):
            argument, edge = self.place.get(id(tensor)), tensor._edge
            if edge is before or tensor._base is not None or (argument is None and not self._is_outside(tensor)):
                continue
            if edge is None:
                changed.append((tensor, argument, OFF))
            elif type(edge[0]) is AccumulateGrad:
                if before is None or type(before[0]) is not AccumulateGrad:
                    changed.append((tensor, argument, LEAF))
            elif used_up(edge[0]):
                changed.append((tensor, argument, USED_UP))
            else:
                changed.append((tensor, argument, len(self.live)))
                self.live.append(tensor)
        return changed

    def _collect_gradients(self) -> None:
        """Gradients of the live outputs by all that requires grad, for cotangents that come as further inputs."""
        sources = [t for _, t in self.recorder.sources.values() if isinstance(t, Tensor)]
        candidates: list[tuple[Tensor, int | None]] = [
            (s, i) for i, s in enumerate(self.stand_ins) if self.place.get(id(s)) == i
        ]
        candidates += [(t, None) for t in sources]
        known = {id(t) for t, _ in candidates}
        for node in graph([t._tape_edge()[0] for t in self.live]):
            leaf = node.variable if type(node) is AccumulateGrad else None
            if leaf is not None and id(leaf) not in known:  # its memory was read through another tensor (`p.data`)
                known.add(id(leaf))
                candidates.append((leaf, None))
        wanted = []
        for tensor, argument in candidates:
            edge = tensor._tape_edge()
            if edge is not None and (type(edge[0]) is AccumulateGrad or edge[0].order < self.recorder.start):
                wanted.append((tensor, argument))
        with jax.ensure_compile_time_eval():
            self.seeds = [jax.device_put(np.zeros(t.shape, t._np_dtype)) for t in self.live]
        weights = [wrap(jax.numpy.array(s, copy=True)) for s in self.seeds]
        edges = [t._tape_edge() for t in self.live]
        self.inner = backwards.inner(edges, self.recorder.start)
        targets = [t for t, _ in wanted]
        with self._graph_of_this_trace(targets):
            found = backwards.followed(
                lambda: tape_grad(self.live, targets, weights, retain_graph=True, allow_unused=True),
                self.recorder, edges, [t._tape_edge()[0] for t in targets],  # type: ignore[index]
            )  # fmt: skip
        for (tensor, argument), gradient in zip(wanted, found, strict=True):
            if gradient is not None:
                self.outputs.append(gradient._array)
                self.wanted.append((tensor, argument))

    @contextlib.contextmanager
    def _graph_of_this_trace(self, wanted: list[Tensor]) -> Iterator[None]:
        """End the graph at tensors that were on the tape before: a call goes on from there on its own, through their edges."""
        ends: set[Any] = {edge[0] for t in wanted if (edge := t._tape_edge()) is not None}
        ends = {node for node in ends if type(node) is not AccumulateGrad}
        before = [(node, node.edges) for node in ends]
        for node, edges in before:
            node.edges = [None] * len(edges)
        try:
            for node in graph([t._tape_edge()[0] for t in self.live]):  # type: ignore[index]
                if node.order < self.recorder.start and node not in ends and type(node) is not AccumulateGrad:
                    raise Untraceable("a result goes back to a tensor that was on the tape before, through another one")
            yield
        finally:
            for node, edges in before:
                node.edges = edges

    # --- what cannot be -------------------------------------------------------------------------------------------

    def _check_conflicts(self, bound: frozenset[int]) -> None:
        recorder = self.recorder
        written = {self.tensors[argument]._storage for (argument, _), _ in self.argument_writes}
        found = set(recorder.watcher.taken - bound)
        for i, tensor in enumerate(self.tensors):
            if i in bound:
                continue
            storage = tensor._storage
            shared = storage in recorder.values and (
                storage in recorder.written or storage in written or tensor.requires_grad
            )
            if shared or tensor in recorder.grads or (tensor._grad is not None and self.stand_ins[i] in recorder.grads):
                found.add(i)
        if found:
            raise Conflict(frozenset(found | bound))

    def _check_optimizers(self) -> None:
        """Whether optimizers have begun state in the trace, which makes this the program of a single call."""
        self.once = self.recorder.once
        for optimizer, before in self.recorder.optimizers.items():
            for key, state in optimizer.state.items():
                for item, value in state.items() if isinstance(state, dict) else ():
                    if isinstance(value, Tensor) and before.get(key, {}).get(item, MISSING) is MISSING:
                        self.once = self.once or not optimizer.begins_alike or not self._is_outside(value)

    def _left_behind(self) -> list[Tensor]:
        """The tensors made in the trace that somebody has kept (a hook in a dict, an optimizer as its state).

        Every call gives them its values.
        """
        known = {id(t) for t in (*self.kept, *self.stand_ins, *self.recorder.owners.values())}
        known |= {id(t) for t in saved_on_tape(self.live)}
        trace = self.tracer._trace
        storages = {t._storage for t in self.kept if isinstance(t, Tensor)} | {s for s, _ in self.arrays_before}

        def scan() -> list[Tensor]:
            return [
                o
                for o in gc.get_objects()
                if issubclass(type(o), Tensor)
                and id(o) not in known
                and type(getattr(o, "_storage", None)) is Storage
                and o._storage not in storages
                and getattr(o._storage.value, "_trace", None) is trace
            ]

        if scan():
            gc.collect()
        found = scan()
        for tensor in found:
            if tensor._edge is not None and type(tensor._edge[0]) is not AccumulateGrad:
                tensor._edge = spent()
        return list({id(t._storage): t for t in found}.values())
