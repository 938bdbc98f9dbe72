"""One traced program of a compiled function: when it holds, and how it is called."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import jax

from .. import native
from ..core.autograd.engine import backward as tape_backward
from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import HostValue, structure
from ..core.dispatch import checks
from ..core.dispatch.checks import number_at
from ..core.tape.nodes import AccumulateGrad
from ..core.tape.nodes import Program as ArrayProgram
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor, blank, wrap
from ..native import channels_last
from ..nn.modules.module import Module
from .capture import Capture
from .guards.modules import Held, fingerprint
from .guards.places import MISSING, Attribute, Cell, Length, Place, TensorAt, own_attributes
from .moving import GradOf, Pattern, now, tensors_in
from .node import CompiledNode, spent
from .packing import PackedStorage, Packing
from .plan import ARGUMENT, AT, LEAF, LOOK, MADE, OFF, SAME, USED_UP, Effect, Recipe
from .recorder import NumberValue
from .templates import Built, OfRecipe

_CPU_OPTIONS = {
    # XLA looks closer before it copies what is donated: a weight that is read by the backward pass and then overwritten
    "xla_cpu_copy_insertion_use_region_analysis": True,
    # what LLVM prefers is 256, for processors that slowed down when they used all of a register
    "xla_cpu_prefer_vector_width": 512,
}

_new = object.__new__


class Unevaluable(Exception):
    """Python's numbers can't be computed at this call (a division by zero): nothing has been changed yet."""


class TracedProgram:
    """A function traced for one signature.

    The XLA program takes the arguments' arrays and then the state that the trace found (tensors' storages, values from
    the host), and gives the results, the new values of what was written, and the new gradients.
    """

    def __init__(self, capture: Capture, bound: frozenset[int], reason: str, name: str):
        self.reason = reason
        self.name = name
        self.calls = 0
        self.once = capture.once
        self.recipes = capture.recipes
        self.result = capture.result
        self.single = self.result.number if type(self.result) is OfRecipe else None
        self.effects = capture.effects
        self.expressions = capture.expressions
        self.argument_inputs = capture.inputs
        self.all_argument_writes = capture.argument_writes
        self.all_argument_grads = capture.argument_grads
        self.together = [[t._storage for t in group] for group in capture.recorder.together]
        self.shapes = [(o.aval.shape, o.aval.dtype) for o in capture.jaxpr.jaxpr.outvars]
        self.count = len(capture.live)
        self.inner = capture.inner
        self.spent = spent()
        self.metas = [(tuple(t.shape), t._np_dtype) for t in capture.live]
        self.bound = [(i, capture.tensors[i]) for i in sorted(bound)]
        self.failed: Callable[[], None] | None = capture.recorder.give_up
        self.handed_out = capture.handed_out  # numbers of recipes that results and Python's objects get
        self.refusals = capture.refusals
        self.word_at_hand = False  # whether it is in the host's memory
        self.kept_storages = capture.recorder.kept
        self.all_word = capture.word
        self._name_state(capture)
        self._build(capture)
        self._note_dependencies(capture)

    # --- making it ------------------------------------------------------------------------------------------------

    def _name_state(self, capture: Capture) -> None:
        """How to find each piece of state at a call. Gradients and attributes may be other tensors by then."""
        recorder = capture.recorder
        at = capture.moving.at
        self.moving_places = capture.moving.found
        self.grads = [(at.get(id(t), t), recipe) for t, recipe in capture.grads]
        self.edges = [(at.get(id(t), t), argument, what) for t, argument, what in capture.edges]
        self.wanted = [(at.get(id(t), t), argument) for t, argument in capture.wanted]
        self.tensors: list[Tensor] = []
        self.others: list[Any] = []
        self.where: dict[int, int] = {}  # id of the array that stood for a source -> its number among the state
        late = []
        for key, (_, source) in recorder.sources.items():
            source = at.get(id(source), source)
            if isinstance(source, Tensor):
                self.where[key] = len(self.tensors)
                self.tensors.append(source)
            else:
                late.append((key, source))
        for key, source in late:
            self.where[key] = len(self.tensors) + len(self.others)
            self.others.append(source)
        self.storages = [t._storage for t in self.tensors]
        self.all_writes = []
        self.all_other_writes = []
        for tensor, number in capture.writes:
            if id(tensor) in at:
                self.all_other_writes.append((at[id(tensor)], number))
            else:
                self.all_writes.append((tensor._storage, number))
        self.all_writes += capture.left

    def _build(self, capture: Capture) -> None:
        jaxpr, arguments, plain = capture.jaxpr.jaxpr, len(capture.inputs), capture.plain
        seeds = {id(s): i for i, s in enumerate(capture.seeds)}
        slots: list[tuple[str, Any]] = []
        for constant in capture.jaxpr.consts:
            if id(constant) in seeds:
                slots.append(("seed", seeds[id(constant)]))
            elif id(constant) in self.where:
                slots.append(("state", self.where[id(constant)]))
            else:
                slots.append(("constant", constant))
        zeros = tuple(capture.seeds)
        self.on_cpu = self._on_cpu()
        evaluate = (
            channels_last.evaluate
            if self.on_cpu and channels_last.applies(jaxpr, native.serves)
            else jax.core.eval_jaxpr
        )

        def run(flat: Sequence[Any], seeds: Sequence[Any], which: slice) -> Any:
            state = flat[arguments:]
            consts = [state[n] if kind == "state" else seeds[n] if kind == "seed" else n for kind, n in slots]
            return tuple(evaluate(jaxpr, consts, *flat[:arguments]))[which]

        def forward(*flat: Any) -> Any:
            return run(flat, zeros, slice(0, plain))

        def backward(*flat: Any) -> Any:
            return run(flat[: -self.count], flat[-self.count :], slice(plain, None))

        places = {i: n for n, (i, dense) in enumerate(capture.inputs) if dense}
        states = {id(t): arguments + n for n, t in enumerate(self.tensors) if t._view is None}
        for n, source in enumerate(self.others):
            if isinstance(source, (TensorAt, GradOf)) and source.find()._view is None:
                states[id(source.find())] = arguments + len(self.tensors) + n
        self.wanted_inputs = [states.get(id(t)) if a is None else places.get(a) for t, a in capture.wanted]
        self.backward = ArrayProgram(backward, "CompiledFunctionBackward") if self.count else None
        self.forward, self.arguments, self.plain = forward, arguments, plain
        self._link(packed=not (self.count or self.once))

    def _on_cpu(self) -> bool:
        return all(
            storage.on_host or next(iter(storage.value.devices())).platform == "cpu" for storage in self.storages
        )

    def _link(self, packed: bool) -> None:
        """Make the XLA program of the traced function; `packed`: with small state and small gradients in flat arrays."""
        packing = self._packing() if packed else None
        if packing is not None and not packing.gone:
            packing = None
        self.packing = packing
        gone, inside = (packing.gone, packing.state) if packing else ((), ())
        self.loose = [s for i, s in enumerate(self.storages) if i not in inside]
        kept = [number for number in range(self.plain) if number not in gone]
        new = {number: i for i, number in enumerate(kept)}
        self.word = None if self.all_word is None else new[self.all_word]
        self.writes = [(s, new[n]) for s, n in self.all_writes if n in new]
        self.other_writes = [(s, new[n]) for s, n in self.all_other_writes]
        self.argument_writes = [(a, new[n]) for a, n in self.all_argument_writes]
        self.argument_grads = [(a, new[n]) for a, n in self.all_argument_grads]
        self.steps: list[
            tuple[int, Recipe, bool]
        ] = []  # (its number, how to make it, whether it is a new whole tensor)
        places: dict[int, tuple[int, int]] = {}
        for i, recipe in enumerate(self.recipes):
            if packing and i in packing.recipes:
                places[i] = packing.recipes[i]
            else:
                made = recipe._replace(what=new[recipe.what]) if recipe.kind == MADE else recipe
                self.steps.append((i, made, recipe.kind == MADE and _is_plain(recipe)))
        self.packed_grads = [(tensor, *places[r]) for tensor, r in self.grads if r in places]
        self.loose_grads = [(tensor, r) for tensor, r in self.grads if r not in places]
        self.given_over = {} if self.count else self._donatable()
        self.donated = tuple(sorted(self.given_over.values()))
        run = packing.around(self.forward, self.arguments, len(self.storages)) if packing else self.forward
        if self.word is not None:
            run = _unless_failed(run, self.word, {n: i for n, i in self.given_over.items() if i not in self.kept})
        run.__name__ = self.name.rpartition(".")[2] or "compiled"
        self.run = jax.jit(run, donate_argnums=self.donated, compiler_options=_CPU_OPTIONS if self.on_cpu else None)

    def _packing(self) -> Packing:
        """What may be packed: outputs that are one storage's new value, or one `.grad` and nothing else."""
        uses = [
            n
            for _, n in (*self.all_writes, *self.all_other_writes, *self.all_argument_writes, *self.all_argument_grads)
        ]
        uses += [recipe.what for recipe in self.recipes if recipe.kind == MADE]
        once = {n for n, count in Counter(uses).items() if count == 1}
        together = {storage for group in self.together for storage in group}
        writes = [(s, n) for s, n in self.all_writes if n in once and s not in together]
        needed = set(self.handed_out)
        needed |= {r.what[1] for r in self.recipes if r.kind == LOOK and r.what[0] == MADE}
        read = {source.tensor for source in self.others if isinstance(source, GradOf)}
        gradients = []
        for tensor, r in self.grads:
            if r is None or r in needed or tensor in read or not _is_plain(self.recipes[r]):
                continue
            if not isinstance(tensor, Tensor):
                continue
            number = self.recipes[r].what
            if number in once:
                gradients.append((r, number, *self.shapes[number]))
        return Packing(self.storages, writes, gradients)

    def _donatable(self) -> dict[int, int]:
        """The inputs whose memory an output may take over: state that is written. {number of the output: of the input}"""
        outputs: dict[int, int] = {}
        for storage, number in self.writes:
            if number not in outputs and storage in self.loose:
                outputs[number] = self.arguments + self.loose.index(storage)
        for source, number in self.other_writes:
            for i, other in enumerate(self.others):
                if number not in outputs and _same_place(source, other):
                    outputs[number] = self.arguments + len(self.loose) + i
        self.kept = {
            self.arguments + i for i, storage in enumerate(self.loose) if storage in self.kept_storages
        }  # the trace itself keeps what they hold where a check fails
        return outputs

    def _note_dependencies(self, capture: Capture) -> None:
        recorder = capture.recorder
        self.reads = recorder.reads
        self.looks_at_attributes = recorder.watcher.looked_at_attributes
        self.reads.finish(self.moving_places)
        self.guards = recorder.guards
        at = capture.moving.at
        self.grads_read = [(at.get(id(t), t), was_none) for t, was_none in recorder.grads_read.items()]
        self.modules = list(recorder.modules)
        self.held = Held([m for m in self.modules if isinstance(m, Module)])
        places = (*recorder.writes.places.values(), *self.moving_places.values(), *self.reads.numbers.values())
        replaced = [place for place, _ in places if not isinstance(place, (Cell, Length))]
        self.ignored = frozenset(map(_table_entry, replaced))
        self.moving = [s for s in self.others if not isinstance(s, (HostValue, NumberValue))]
        self.looks = [_look(s.find()) for s in self.moving]
        grads = [GradOf(tensor) for tensor, was_none in self.grads_read if not was_none]
        self.pattern = Pattern(capture.moving, grads, self._known(capture))
        self.pattern.take(capture.tensors)
        self.apart = [(i, at.get(id(other), other)) for i, other in recorder.watcher.apart]
        written = {s for s, _ in self.all_writes}
        # what an argument must not share memory with
        risky = self.storages if self.all_argument_writes else [
            t._storage for t in self.tensors if t._storage in written or t._edge is not None
        ]  # fmt: skip
        self.risky = frozenset(map(id, risky))
        self.version = structure.version
        self.prints = self._prints()
        self.recorder_summary = {
            "arguments": len(capture.tensors),
            "state read": len(self.tensors) + len(self.moving),
            "state written": len(self.all_writes) + len(self.all_other_writes),
            "gradients set": len(self.grads),
            "host values": len(self.others) - len(self.moving),
        }

    def _known(self, capture: Capture) -> list[Tensor]:
        """Tensors that are the same ones at each call."""
        reads = capture.recorder.reads
        inner = capture.moving.inner
        held = [value for place, value in reads.places.values() if id(place.owner) not in inner]
        held += [
            value
            for c in reads.contents.values()
            if c.ids is not None and id(c.container) not in inner
            for i, value in enumerate(c.held)
            if i not in c.loose
        ]
        found = [t for v in held if isinstance(v, (Tensor, tuple)) for t in tensors_in(v)]
        return [*self.tensors, *(t for t, _ in self.wanted if isinstance(t, Tensor)), *found]

    def _prints(self) -> Any:
        modules = [fingerprint(m, self.ignored) for m in self.modules]
        places = [(id(t._storage), t._view, t._tape_edge() is not None) for t in self.tensors]
        return modules, places

    # --- when it holds --------------------------------------------------------------------------------------------

    def broken_by(self, tensors: Any, given: Any) -> str | None:
        """What has changed since the trace so that the program does not hold (any more, or here); None if it holds.

        `given` are the leaves of the call's arguments, of which `tensors` are those that are tensors.
        """
        if self.once and self.calls:
            return "an optimizer has begun its state"
        broken = self.reads.broken(given)
        if broken is not None:
            return broken
        risky = self.risky
        for tensor in tensors:
            if id(tensor._storage) in risky and not any(t is tensor for _, t in self.bound):
                return "an argument shares memory with state of the function"
        if self.bound:
            for i, tensor in self.bound:
                if tensors[i] is not tensor:
                    return f"argument {i} was state of the function, too, and is another tensor now"
        broken = self.pattern.broken(tensors) if self.pattern.seen else None
        if broken is not None:
            return broken
        for i, other in self.apart:
            if tensors[i] is now(other):
                return f"argument {i} is a tensor that the function compares it with"
        for tensor, was_none in self.grads_read:
            if (now(tensor)._grad is None) is not was_none:
                return "a gradient that was None is there now, or the other way round"
        for storages in self.together:
            values = [s.value for s in storages]
            first = values[0]
            if any(v is not first for v in values):
                return "tensors that held one array hold different ones now"
        for look, seen, what in self.guards:
            if look() != seen:
                return what
        if self.moving:
            for source, look in zip(self.moving, self.looks, strict=True):
                if _look(source.find()) != look:
                    return "a gradient or an attribute of a module has another layout now"
        if self.version != structure.version:
            if self.prints != self._prints():
                return "a module's attributes, mode, parameters or hooks have changed, or the state of an optimizer"
            self.version = structure.version
        return None

    # --- calling it -----------------------------------------------------------------------------------------------

    def __call__(self, tensors: Any, given: Any, call: Any = None) -> Any:
        packing = self.packing
        packs: Any = ()
        if packing is not None:
            flats = packing.gather()
            if packing.hopeless:
                del flats
                self._link(packed=False)
                packing = None
        inputs = []
        for i, dense in self.argument_inputs:
            tensor = tensors[i]
            inputs.append(tensor._storage.value if tensor._view is None or not dense else tensor._array)
        inputs += [storage.value for storage in self.loose]
        try:
            if self.others:
                inputs += [source(given) for source in self.others]
            numbers = [e.value(given) for e in self.expressions] if self.expressions else ()
        except (ArithmeticError, ValueError) as fault:
            raise Unevaluable from fault
        for i in self.donated:
            # not what anybody else holds: a clone, a checkpoint, the tape
            if getrefcount(inputs[i]) > _ALONE:
                inputs[i] = jax.numpy.array(inputs[i], copy=True)
        if packing is not None:
            inputs += flats
            del flats
        outputs = self.run(*inputs) if self.calls else self._first(inputs)
        if self.word is not None:
            word = outputs[self.word]
            # written out: a small network's step feels each call of a function here
            if not (self.word_at_hand and word.is_ready() and not number_at(word.unsafe_buffer_pointer()).value):
                error = checks.failure(word, self.refusals)
                if error is not None:
                    self._take_back(outputs)
                    raise error
        if not self.calls:
            self.failed = None
        self.calls += 1
        if packing is not None:
            packs = packing.accept(outputs)
        for storage, number in self.writes:
            storage.set(outputs[number])
        if self.other_writes:
            for source, number in self.other_writes:
                source.find()._storage.set(outputs[number])
        if self.argument_writes:
            for (i, whole), number in self.argument_writes:
                if whole:
                    tensors[i]._storage.set(outputs[number])
                else:
                    tensors[i]._write(outputs[number])
        node = self._node(tensors, inputs) if self.count and grad_state.grad else None
        made: list[Any] = [None] * len(self.recipes)
        for i, recipe, plain in self.steps:
            if plain:
                storage = _new(Storage)
                storage.value = outputs[recipe.what]
                storage.version = 0
                made[i] = blank(Tensor, storage)
            else:
                made[i] = self._make(recipe, made, tensors, outputs, node)
        for tensor, pack, place in self.packed_grads:
            storage = _new(PackedStorage)
            storage.host = (packs[pack], place, 0)  # type: ignore[assignment]
            tensor._grad = blank(Tensor, storage)
        for tensor, recipe_number in self.loose_grads:
            now(tensor)._grad = None if recipe_number is None else made[recipe_number]
        if self.argument_grads:
            for i, number in self.argument_grads:
                _add_grad(tensors[i], outputs[number])
        if self.edges:
            self._set_edges(tensors, node)
        if self.single is not None and not self.effects:
            return made[self.single]
        built = Built(made, numbers, call)
        for effect in self.effects:
            _apply(effect, built)
        return self.result.make(built)

    def _first(self, inputs: list[Any]) -> Any:
        """The first run, which compiles. If it fails, what the trace has begun is taken back."""
        # XLA's results are bound to a device if any input is. State that the trace has begun is not, and would come back
        # as another kind of input: the second call would compile once more.
        places = {a.sharding for a in inputs if isinstance(a, jax.Array) and a.committed}
        if len(places) == 1:
            place = places.pop()
            for i in self.donated:
                inputs[i] = jax.device_put(inputs[i], place)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
                outputs = self.run(*inputs)
            if self.word is not None:
                self.word_at_hand = next(iter(outputs[self.word].devices())).platform == "cpu"
            return outputs
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Take back what the trace has begun, if this was to be the first run."""
        if self.failed is not None:
            self.failed()
            self.failed = None

    def _take_back(self, outputs: Any) -> None:
        """After a check that failed: memory that was given over is back with the old values in it."""
        for storage, number in (*self.writes, *((source.find()._storage, n) for source, n in self.other_writes)):
            if number in self.given_over:
                storage.value = outputs[number]
        self.give_up()

    def _make(self, recipe: Recipe, made: list[Tensor], tensors: list[Tensor], outputs: Any, node: Any) -> Tensor:
        kind = recipe.kind
        if kind is SAME:
            return recipe.what
        if kind is AT:
            return recipe.what.find()
        if kind is ARGUMENT:
            return tensors[recipe.what]
        if kind is MADE:
            tensor = wrap(outputs[recipe.what])
        else:
            root_kind, root = recipe.what
            if root_kind is not SAME:
                root = root.find() if root_kind is AT else tensors[root] if root_kind is ARGUMENT else made[root]
            tensor = blank(Tensor, root._storage, recipe.view)
        if recipe.cls is not Tensor:
            tensor.__class__ = recipe.cls
        if recipe.dead:
            tensor._edge = self.spent
        elif recipe.live >= 0:
            tensor._edge = None if node is None else (node, recipe.live)
        elif recipe.leaf:
            tensor.requires_grad_()
        return tensor

    def _node(self, tensors: list[Tensor], inputs: list[Any]) -> CompiledNode | None:
        edges, positions = [], []
        for i, (tensor, argument) in enumerate(self.wanted):
            edge = (now(tensor) if argument is None else tensors[argument])._tape_edge()
            if edge is not None:
                edges.append(edge)
                positions.append(i)
        numbers = [self.wanted_inputs[i] for i in positions]
        return CompiledNode(self.backward, inputs, positions, numbers, edges, self.metas, self.inner) if edges else None

    def _set_edges(self, tensors: list[Tensor], node: Any) -> None:
        for tensor, argument, what in self.edges:
            tensor = now(tensor) if argument is None else tensors[argument]
            if what == OFF:
                tensor._set_edge(None)
            elif what == LEAF:
                tensor.requires_grad_()
            elif what == USED_UP:
                tensor._set_edge(self.spent)
            elif node is not None:
                tensor._set_edge((node, what))


def _unless_failed(run: Callable[..., Any], word: int, places: dict[int, int]) -> Callable[..., Any]:
    """The program with outputs that are written over inputs, {number of the output: of the input}, only if no check fails."""

    def kept(*given: Any) -> Any:
        outputs = list(run(*given))
        for number, place in places.items():
            outputs[number] = jax.numpy.where(outputs[word] == 0, outputs[number], given[place])
        return tuple(outputs)

    return kept if places else run


def _is_plain(recipe: Recipe) -> bool:
    """Whether a recipe makes a new whole tensor off the tape."""
    return recipe.kind == MADE and recipe[2:] == Recipe(MADE, 0)[2:]


class _Cell:
    value: Any


def _baseline() -> int:
    """What `getrefcount` says of an array that only its storage and the list of inputs hold."""
    cell = _Cell()
    cell.value = object()
    inputs = [cell.value]
    return max([getrefcount(inputs[i]) for i in (0,)])


_ALONE = _baseline()


def _same_place(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if type(a) is GradOf:
        return a.tensor is b.tensor
    return type(a) is TensorAt and a.place.key == b.place.key and a.number == b.number


def _table_entry(place: Place) -> tuple[int, Any]:
    table = own_attributes(place.owner) if isinstance(place, Attribute) else place.owner
    return id(table), place.name


def _apply(effect: Effect, built: Built) -> None:
    """Do to Python's objects what the function did."""
    if effect.place is not None:
        effect.place.put(effect.args[0].make(built) if effect.args else MISSING)
    else:
        effect.function(*[a.make(built) for a in effect.args], **{k: v.make(built) for k, v in effect.kwargs.items()})


def _look(tensor: Any) -> Any:
    """What a program that reads a moving tensor depends on."""
    return tensor._view, tensor._storage.shape, tensor._storage.dtype


def _add_grad(tensor: Tensor, array: Any) -> None:
    """Hand a gradient to an argument: to its `.grad`, or down the tape that it comes from."""
    edge = tensor._tape_edge()
    if edge is not None and type(edge[0]) is not AccumulateGrad:
        tape_backward([tensor], [wrap(array)])
        return
    held = tensor._grad
    tensor._grad = wrap(array if held is None else held._array + array)


__all__ = ["GradOf", "TensorAt", "TracedProgram"]
