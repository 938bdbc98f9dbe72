"""What a traced function has made and changed: a flat list of arrays, and what each call makes of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..core.array import devices
from ..core.array.meta import is_meta
from ..core.context.tracing import Untraceable
from ..core.dispatch import checks
from ..core.tensor.storage import PartsStorage, Storage, is_far
from ..core.tensor.tensor import Tensor
from . import memory, survivors
from .ahead import Ahead
from .arguments import Arguments
from .draws import Drawing
from .effects import Deferred, Mutation, Writes
from .guards.places import MISSING, Place
from .guards.symbols import LATER
from .guards.values import in_c, is_in_c
from .inputs import Inputs
from .live import Gradients, changed_edges
from .plan import Changes, Computation, Effect, Plan, Results, State, Tape
from .recipes import Numbered, Recipes
from .recorder import Recorder
from .templates import Describer

LARGE_GRADIENTS = 16 << 20  # bytes: below it, letting go of the old ones before a call costs more than they do


class Findings:
    """Made within the trace: the order in which things are looked at is that of the program's results (`outputs`)."""

    def __init__(self, recorder: Recorder, arguments: Arguments, inputs: Inputs, result: Any):
        self.recorder = recorder
        self.arguments = arguments
        self.outputs: Numbered = Numbered()
        arguments.find()
        changed = recorder.writes.unnoticed(recorder.begun.tables())
        if changed:
            raise Untraceable(f"code that could not be followed changes a {changed[0]}")
        inputs.check(recorder)
        self.moving: Any = inputs.choose_moving(recorder)
        expressions = Numbered()
        self.recipes: Recipes = Recipes(recorder, arguments, self.moving, self.outputs, expressions)
        emit, recipe = self.outputs.number, self.recipes.number
        watcher = recorder.watcher
        describer = Describer(
            recipe,
            expressions.number,
            watcher.was_there,
            {**watcher.arguments, **watcher.kept},
            self.moving.inner,
            recorder.reads,
        )
        template = describer.describe(result)
        self.grads: list[tuple[Any, int | None]] = [
            (tensor, None if tensor._grad is None else recipe(tensor._grad))
            for tensor, before in recorder.grads.items()
            if recorder.is_outside(tensor) and (tensor._grad is not before or self._is_set_anew(tensor))
        ]
        effects = effects_of(recorder.writes, describer.describe)
        self.results: Results = Results(
            self.recipes.recipes,
            template,
            effects,
            expressions.things,
            describer.recipes,
            list(describer.places.values()),
        )
        memory.tell_apart(recorder.reads, arguments, describer.places)
        argument_grads = arguments.grads(emit)
        self.edges: list[tuple[Any, int | None, int]] = changed_edges(recorder, arguments, self.recipes.live)
        argument_writes = arguments.writes(emit)
        self.writes: list[tuple[Any, int]] = [(recorder.owners[s], emit(recorder.values[s])) for s in recorder.written]
        self.of_arguments: tuple[list[tuple[tuple[int, bool], int]], list[tuple[int, int]]] = (
            argument_writes,
            argument_grads,
        )
        self.once: bool = recorder.begun.holds_once(recorder.is_outside)
        level = recorder.level
        if self.recipes.live:
            self.recipes.young()
        left = survivors.left_behind(recorder, arguments, self.recipes, level)
        self.left: list[tuple[Storage, int]] = [(t._storage, emit(t._storage.value)) for t in left]
        self._collect_checks()
        self.plain: int = len(self.outputs.things)
        self.gradients: Gradients = Gradients()
        if self.recipes.live:
            self.outputs.things += self.gradients.collect(recorder, arguments, self.recipes)
        arguments.check(recorder, argument_writes)
        memory.check(recorder, arguments, argument_writes)

    def _is_set_anew(self, tensor: Tensor) -> bool:
        """Whether the function sets a gradient to what it was at the trace, where another may be at a call."""
        gradient = tensor._grad
        return tensor in self.recorder.grads_written and (gradient is None or id(gradient) not in self.moving.at)

    def _collect_checks(self) -> None:
        demands = self.recorder.demands.take()
        self.refusals: Any = [demand.refusal for demand in demands]
        draws = self.recorder.draws
        before = [check.draws for check in self.recorder.demands.ahead] + [demand.draws for demand in demands]
        self.drawing: Drawing = Drawing(draws.drawers, draws.drawn, before)
        self.word: int | None = self.outputs.number(checks.word(demands)) if demands else None

    def note_survivors(self) -> None:
        """After the trace: each call also updates the results that the function has kept (`self.loss = loss; return loss`)."""
        self.recipes.live.clear()
        self.recorder.edges.clear()
        self.recorder.demands.take()
        storages, edges = survivors.kept(self.recipes)
        self.left += storages
        self.edges += edges

    def plan(self) -> Plan:
        """Tensors that may be others at each call are named by where they are."""
        recorder, at, gradients = self.recorder, self.moving.at, self.gradients
        state = self._state()
        argument_writes, argument_grads = self.of_arguments
        changes = Changes(
            storages=[(t._storage, n) for t, n in self.writes if id(t) not in at] + self.left,
            places=[(at[id(t)], n) for t, n in self.writes if id(t) in at],
            arguments=argument_writes,
            argument_grads=argument_grads,
            grads=[(at.get(id(t), t), recipe) for t, recipe in self.grads],
            unread=[at.get(id(t), t) for t in self._unread()],
            together=[[t._storage for t in group] for group in recorder.together],
            kept=recorder.demands.kept,
        )
        tape = Tape(
            gradients.metas,
            gradients.inner,
            [(at.get(id(t), t), argument) for t, argument in gradients.wanted],
            [(at.get(id(t), t), argument, what) for t, argument, what in self.edges],
        )
        counts = self._counts(state, changes)
        held = [source._storage for _, source in recorder.sources.values() if isinstance(source, Tensor)]
        held += [tensor._storage for tensor in self.arguments.tensors]
        default = devices.get_default_device()
        place = None if held else devices.to_jax(devices.CPU if default.type == "cpu" else default)
        on_cpu = are_on_cpu(held) if held else place in (devices.NOWHERE, *devices.jax_devices("cpu"))
        far = any(is_far(tensor._storage) for tensor in self.arguments.tensors)
        return Plan(
            self.arguments.inputs, state, self.word, self.refusals, self._ahead(state), self.drawing, self.results, changes,
            tape, counts, on_cpu, far, place
        )  # fmt: skip

    def _ahead(self, state: State) -> list[Ahead]:
        """The checks before the program runs, with the numbers of the inputs that they look at."""
        arguments = len(self.arguments.inputs)
        places = {("argument", n): n for n in range(arguments)}
        places |= {("state", key): arguments + n for key, n in state.where.items()}
        return [check._replace(given=places[check.given]) for check in self.recorder.demands.ahead]

    def _unread(self) -> list[Tensor]:
        before = {t: self.recorder.grads[t] for t, _ in self.grads}
        unread = [t for t, old in before.items() if old is None or old._storage not in self.recorder.values]
        return unread if sum(t.nbytes for t in unread) >= LARGE_GRADIENTS else []

    def computation(self, jaxpr: Any) -> Computation:
        return Computation(jaxpr, self.gradients.seeds, self.plain)

    def _state(self) -> State:
        at = self.moving.at
        found = [(key, at.get(id(source), source)) for key, (_, source) in self.recorder.sources.items()]
        tensors = [(key, source) for key, source in found if isinstance(source, Tensor)]
        others = [(key, source) for key, source in found if not isinstance(source, Tensor)]
        where = {key: number for number, (key, _) in enumerate((*tensors, *others))}
        return State([t for _, t in tensors], [o for _, o in others], where)

    def _counts(self, state: State, changes: Changes) -> dict[str, int]:
        host = sum(not hasattr(source, "find") for source in state.others)
        return {
            "arguments": len(self.arguments.tensors),
            "state read": len(state.tensors) + len(state.others) - host,
            "state written": len(changes.storages) + len(changes.places),
            "gradients set": len(changes.grads),
            "host values": host,
        }


def are_on_cpu(storages: list[Storage]) -> bool:
    """Whether all values lie there, or have none (the meta device)."""
    in_parts = [storage for storage in storages if type(storage) is PartsStorage]
    if any(storage.host.device.type not in ("cpu", "meta") for storage in in_parts):
        return False
    values = [storage.value for storage in storages if not storage.on_host and storage not in in_parts]
    return all(is_meta(value) or next(iter(value.devices())).platform == "cpu" for value in values)


def effects_of(writes: Writes, describe: Callable[[Any], Any]) -> list[Effect]:
    """What each call has to do to Python's own objects."""
    effects = []
    for entry in writes.log:
        if isinstance(entry, Place):
            after = entry.own()  # what its class has under the name is no part of it
            effects.append(Effect(entry, None, [] if after is MISSING else [describe(after)], {}))
            continue
        if any(a is LATER for a in entry.args):
            raise Untraceable("it changes a container in a way that could not be followed")
        args = [describe(a) for a in entry.args]
        kwargs = {k: describe(v) for k, v in entry.kwargs.items()}
        function = entry.function
        if isinstance(entry, Mutation):
            args = [describe(entry.container), *args]
            function = in_c_alone(entry.container, function)
        else:
            assert isinstance(entry, Deferred)
        effects.append(Effect(None, function, args, kwargs))
    return effects


def in_c_alone(container: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A change of a container that its class's own code does not see: what that has done at the trace stands beside it."""
    name = getattr(function, "__name__", "")
    if getattr(operator, name, None) is not function or is_in_c(container, name):
        return function
    return in_c(container, f"__{name}__")
