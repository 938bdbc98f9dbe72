"""The XLA programs of a plan: what goes in and comes out, whose memory is given over, and what is packed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from .. import native
from ..core.context.callbacks import raising
from ..core.context.tracing import Untraceable
from ..core.tape.programs import Program as ArrayProgram
from ..core.tensor.storage import PartsStorage, Storage, cut_over, is_far
from ..core.tensor.tensor import Tensor
from ..native import channels_last
from ..native.xla_options import known
from ..processes import groups
from ..processes.crossing import has_crossings
from ..processes.joint import Joint, Together, together
from ..processes.spanning import FAR, FREE, NEAR, NUMBERS, Everywhere, Spanning
from .flat import Flat
from .guards.places import TensorAt
from .moving import GradOf, now
from .node import Backward
from .once import halves
from .outlining import Outlined, Piece, keep_where_failed, outlined, pieces, up_to
from .packing import Packing
from .plan import LOOK, MADE, SAME, Computation, Plan, Unevaluable

_CPU_OPTIONS = {
    # XLA looks closer before it copies what is donated: a weight that is read by the backward pass and then overwritten
    "xla_cpu_copy_insertion_use_region_analysis": True,
    # what LLVM prefers is 256, for processors that slowed down when they used all of a register
    "xla_cpu_prefer_vector_width": 512,
}


class Executable(NamedTuple):
    """An XLA program. It takes arguments, loose state, other state, packs; it gives the outputs that are not packed, and packs."""

    run: Callable[..., Any]
    loose: list[Storage]  # state that travels by itself
    packing: Packing | None
    outputs: dict[int, int]  # numbers among all outputs of the plan -> among those that are given by themselves
    given_over: dict[int, int]  # outputs that take over the memory of inputs, and which
    spans: bool = False  # whether it is one of several processes, which takes parts of unequal lengths as they are
    in_parts: frozenset[int] = frozenset()  # outputs that are such parts

    @property
    def donated(self) -> list[int]:
        return sorted(self.given_over.values())


class Builder:
    """Makes the executable of a plan, and its backward program. Nothing of it holds the arrays of the trace."""

    def __init__(self, plan: Plan, computation: Computation, name: str, whole: bool = False):
        self.plan = plan
        self.whole = whole
        self.name = name
        self.on_cpu: bool = plan.on_cpu
        self.in_rows: bool = self.on_cpu and channels_last.applies(computation.jaxpr.jaxpr, native.serves)
        self.arguments: int = len(plan.inputs)
        self.plain: int = computation.plain
        self.shapes: list[tuple[Any, Any]] = [(o.aval.shape, o.aval.dtype) for o in computation.jaxpr.jaxpr.outvars]
        self.live: int = len(plan.tape.metas)
        zeros, plain = tuple(computation.seeds), self.plain
        self.calls_back: bool = bool(computation.jaxpr.effects)
        self.spanning: Spanning | None = self._spanning(computation)
        self.backward: Backward | None = None
        if self.live and self.calls_back:
            self.forward: Callable[..., Any] = self._in_halves(computation)
        else:
            evaluate = self._evaluator(computation)
            self.forward = lambda *flat: evaluate(flat, zeros)[:plain]
            if self.live:
                self.backward = self._backward(evaluate)
        self.cut: list[Piece] | None = None
        self.flat: Flat | None = self._flat(computation)
        self.by_all: Together | None = (
            together(computation.jaxpr) if self.on_cpu and not self.live and self.spanning is None else None
        )
        if self.by_all is not None:
            of_all = self._evaluator(Computation(self.by_all.jaxpr, computation.seeds, plain))
            self.forward_by_all: Callable[..., Any] = lambda *flat: of_all(flat, zeros)

    def _spanning(self, computation: Computation) -> Spanning | None:
        """The computation as a program over several processes, if it gathers what is cut over them."""
        if not has_crossings(computation.jaxpr.jaxpr):
            return None
        storages: list[Any] = [tensor._storage for tensor in self.plan.state.tensors]
        storages += [o.find()._storage if isinstance(o, (TensorAt, GradOf)) else None for o in self.plan.state.others]
        far = {i for i, storage in enumerate(storages) if storage is not None and is_far(storage)}
        if self.live or self.plan.far or any(type(s) is PartsStorage and s.host.padding is None for s in storages):
            raise Untraceable("gradients or arguments that are cut over several processes come in or go out")
        jaxpr, where = computation.jaxpr, self.plan.state.where
        numbers = {i for i, storage in enumerate(storages) if storage is None}
        of_state = [FAR if i in far else NUMBERS if i in numbers else NEAR for i in range(len(where))]
        kinds = [of_state[where[id(c)]] if id(c) in where else FREE for c in jaxpr.consts]
        kinds += [NEAR] * self.arguments
        self.of_inputs: list[str] = [NEAR] * self.arguments + of_state
        link = groups.default_group().exchange.link
        assert link is not None
        everywhere = list(link.devices())
        if any(list(cut_over(storages[i]).mesh.devices.flat) != everywhere for i in far):
            raise Untraceable("a tensor is cut over a part of the processes")
        made = Spanning(jaxpr.jaxpr, kinds, everywhere)
        constants: list[Any] = [self.arguments + where[id(c)] if id(c) in where else _Constant(c) for c in jaxpr.consts]

        def over_all(*flat: Any) -> Any:
            held = [c.value if isinstance(c, _Constant) else flat[c] for c in constants]
            return made(held, flat[: self.arguments])[: self.plain]

        self.over_all: Callable[..., Any] = over_all
        return made

    def _everywhere(self, loose: list[Storage], outputs: dict[int, int], options: Any) -> Executable:
        assert self.spanning is not None
        changes, recipes = self.plan.changes, self.plan.results.recipes
        written = [*changes.storages, *[(source.find()._storage, n) for source, n in changes.places]]
        numbers = {id(storage): n for storage, n in written}
        laid: dict[Any, Any] = {}
        for tensor, r in changes.grads:  # gradients lie as what they belong to
            if r is not None and is_far(now(tensor)._storage):
                kind, what = recipes[r].kind, recipes[r].what
                n = what if kind == MADE else numbers.get(id(what._storage)) if kind == SAME else None
                laid[n] = _layout_of(now(tensor)._storage)
        for storage, n in written:
            laid.setdefault(n, _layout_of(storage) if is_far(storage) else NEAR)
            if hasattr(laid[n], "padding") and type(storage) is not PartsStorage:
                raise Untraceable("it changes gradients in parts of unequal lengths")
        if self.plan.word is not None:
            laid.setdefault(self.plan.word, NEAR)
        far = [self.spanning.lies(n, laid.get(n)) for n in range(self.plain)]
        word = None if self.plan.word is None else outputs[self.plan.word]
        exchange = groups.default_group().exchange
        whole = Everywhere(self.spanning, self.over_all, self.of_inputs, far, exchange, self._own_name(), options, word)
        in_parts = frozenset(outputs[n] for n in self.spanning.padded)
        return Executable(or_not(whole), loose, None, outputs, {}, True, in_parts)

    def _in_halves(self, computation: Computation) -> Callable[..., Any]:
        """The forward pass, where it gives its backward pass what it has called for."""
        zeros, plain = computation.seeds, self.plain
        made = halves(computation.jaxpr, zeros, plain)
        forward = self._evaluator(Computation(made.forward, zeros, plain))
        self.backward = self._backward(self._evaluator(Computation(made.backward, zeros, plain)), made.saved)
        return lambda *flat: forward(flat, zeros)

    def _backward(self, evaluate: Callable[..., tuple[Any, ...]], saved: int | None = None) -> Backward:
        live, plain, inputs = self.live, self.plain, self.arguments + len(self.plan.state.where)

        def backward(*flat: Any) -> Any:
            return evaluate(flat[:inputs], flat[-live:], flat[inputs:-live])[plain:]

        program = ArrayProgram(backward, "CompiledFunctionBackward")
        return Backward(program, self.plan.tape, _inputs_of(self.plan), saved)

    def _evaluator(self, computation: Computation) -> Callable[..., tuple[Any, ...]]:
        """The jaxpr as a function of all inputs, of the cotangents, and of what was called for before."""
        jaxpr, where, arguments = computation.jaxpr.jaxpr, self.plan.state.where, self.arguments
        seeds = {id(s): i for i, s in enumerate(computation.seeds)}
        slots: list[tuple[str, Any]] = [
            ("seed", seeds[id(constant)]) if id(constant) in seeds
            else ("state", where[id(constant)]) if id(constant) in where
            else ("constant", constant)
            for constant in computation.jaxpr.consts
        ]  # fmt: skip
        evaluate = channels_last.evaluate if self.in_rows else jax.core.eval_jaxpr

        def run(flat: Sequence[Any], seeds: Sequence[Any], saved: Sequence[Any] = ()) -> tuple[Any, ...]:
            state = flat[arguments:]
            consts = [state[n] if kind == "state" else seeds[n] if kind == "seed" else n for kind, n in slots]
            return tuple(evaluate(jaxpr, consts, *flat[:arguments], *saved))

        return run

    def _flat(self, computation: Computation) -> Flat | None:
        """The computation as a list of operations, if it may be cut into several programs."""
        jaxpr, consts = computation.jaxpr.jaxpr, computation.jaxpr.consts
        if self.whole or not self.on_cpu or self.live or jaxpr.effects or self.in_rows or self.spanning is not None:
            return None
        where, arguments = self.plan.state.where, self.arguments
        flat = Flat(arguments + len(where))
        held = [arguments + where[id(c)] if id(c) in where else flat.constant(c) for c in consts]
        flat.outputs = flat.write(jaxpr, held, range(arguments))[: self.plain]
        flat.drop_dead()
        self.cut = pieces(flat)
        return flat if self.cut else None

    def build(self, packed: bool) -> Executable:
        """`packed`: with small state and small gradients in flat arrays."""
        storages = [t._storage for t in self.plan.state.tensors]
        cuts = {s: cut for s in storages if (cut := cut_over(s)) is not None}
        cut_up = self.flat is not None and not cuts
        packing = self._packing(storages) if packed and not cuts and not cut_up else None
        if packing is not None and not packing.gone:
            packing = None
        loose = [s for i, s in enumerate(storages) if packing is None or i not in packing.state]
        kept = [n for n in range(self.plain) if packing is None or n not in packing.gone]
        outputs = {number: i for i, number in enumerate(kept)}
        by_all = self.by_all if not cuts else None
        # what a program calls back may raise, when the memory is no more what it was
        given_over = {} if self.live or self.calls_back else self._donatable(loose, outputs)
        options = known(_CPU_OPTIONS) if self.on_cpu else None
        if self.spanning is not None:
            return self._everywhere(loose, outputs, options)
        if cut_up:
            return Executable(self._outlined(loose, given_over, options), loose, None, outputs, given_over)
        run = self._around(self.forward, packing, len(storages))
        if self.plan.word is not None:
            run = _unless_failed(run, outputs[self.plan.word], self._unkept(loose, given_over))
        if cuts:
            run = _cut(run, {outputs[n]: cuts[s] for s, n in self.plan.changes.storages if n in outputs and s in cuts})
        run.__name__ = self._own_name()
        donated = tuple(sorted(given_over.values()))
        jitted: Callable[..., Any] = jax.jit(run, donate_argnums=donated, compiler_options=options)
        if by_all is not None:
            shared = self._around(self.forward_by_all, packing, len(storages))
            word = None if self.plan.word is None else outputs[self.plan.word]
            jitted = Joint(by_all, shared, jitted, run.__name__, options, word)
        elif self.calls_back:
            jitted = raising(jitted)
        if isinstance(self.plan.place, jax.Device) and jax.local_devices() != [self.plan.place]:
            jitted = _at(jitted, self.plan.place)
        return Executable(jitted, loose, packing, outputs, given_over)

    def _around(self, run: Callable[..., Any], packing: Packing | None, states: int) -> Callable[..., Any]:
        return packing.around(run, self.arguments, states) if packing else run

    def _outlined(self, loose: list[Storage], given_over: dict[int, int], options: Any) -> Outlined:
        """The program as several, without packing."""
        assert self.flat is not None and self.cut is not None
        if self.plan.word is not None:
            keep_where_failed(self.flat, self.plan.word, self._unkept(loose, given_over))
        flat, cut, self.flat, self.cut = self.flat, up_to(self.cut, len(self.flat.operations)), None, None
        return outlined(flat, cut, given_over, self._own_name(), options)

    def _unkept(self, loose: list[Storage], given_over: dict[int, int]) -> dict[int, int]:
        """The outputs written over inputs whose old values the computation does not itself keep where a check fails."""
        kept = {self.arguments + i for i, storage in enumerate(loose) if storage in self.plan.changes.kept}
        return {n: i for n, i in given_over.items() if i not in kept}

    def _own_name(self) -> str:
        return self.name.rpartition(".")[2] or "compiled"

    def _packing(self, storages: list[Storage]) -> Packing:
        """What may be packed: outputs that are one storage's new value, or one `.grad` and nothing else."""
        changes, recipes = self.plan.changes, self.plan.results.recipes
        written = (*changes.storages, *changes.places, *changes.arguments, *changes.argument_grads)
        uses = [n for _, n in written]
        uses += [recipe.what for recipe in recipes if recipe.kind == MADE]
        once = {n for n, count in Counter(uses).items() if count == 1}
        together = {storage for group in changes.together for storage in group}
        writes = [(s, n) for s, n in changes.storages if n in once and s not in together]
        needed = set(self.plan.results.handed_out)
        needed |= {r.what[1] for r in recipes if r.kind == LOOK and r.what[0] == MADE}
        looked_at = {
            storages[n - self.arguments] for n in self.plan.looked_at if 0 <= n - self.arguments < len(storages)
        }
        writes = [(s, n) for s, n in writes if s not in looked_at]
        read = {source.tensor for source in self.plan.state.others if isinstance(source, GradOf)}
        gradients = []
        for tensor, r in changes.grads:
            if r is None or r in needed or tensor in read or not recipes[r].is_plain:
                continue
            if not isinstance(tensor, Tensor):
                continue
            number = recipes[r].what
            if number in once:
                gradients.append((r, number, *self.shapes[number]))
        return Packing(storages, writes, gradients)

    def _donatable(self, loose: list[Storage], outputs: dict[int, int]) -> dict[int, int]:
        """The inputs whose memory an output may take over: state that is written. {number of the output: of the input}"""
        given: dict[int, int] = {}
        for storage, n in self.plan.changes.storages:
            if n in outputs and outputs[n] not in given and storage in loose:
                given[outputs[n]] = self.arguments + loose.index(storage)
        for source, n in self.plan.changes.places:
            for i, other in enumerate(self.plan.state.others):
                if outputs[n] not in given and _same_place(source, other):
                    given[outputs[n]] = self.arguments + len(loose) + i
        return given


def _inputs_of(plan: Plan) -> list[int | None]:
    """For each gradient that goes outside: the number of the input that it belongs to, if that is a whole one."""
    state, arguments = plan.state, len(plan.inputs)
    places = {i: n for n, (i, dense) in enumerate(plan.inputs) if dense}
    states = {id(t): arguments + n for n, t in enumerate(state.tensors) if t._view is None}
    for n, source in enumerate(state.others):
        if isinstance(source, (TensorAt, GradOf)) and source.find()._view is None:
            states[id(source.find())] = arguments + len(state.tensors) + n
    return [states.get(id(now(t))) if a is None else places.get(a) for t, a in plan.tape.wanted]


class _Constant(NamedTuple):
    value: Any


def _layout_of(storage: Any) -> Any:
    """How a storage's values lie over processes: a sharding, or parts of unequal lengths that lie so."""
    return storage.host if type(storage) is PartsStorage else cut_over(storage)


def or_not(whole: Everywhere) -> Callable[..., Any]:
    """A program of all processes, which raises Unevaluable where they do not all run it."""

    def run(*given: Any) -> Any:
        results = whole.by_all(given)
        if results is None:
            raise Unevaluable
        return results

    return run


def _at(run: Callable[..., Any], place: Any) -> Callable[..., Any]:
    """The program on a device, which nothing that it is given says."""

    def there(*given: Any) -> Any:
        with jax.default_device(place):
            return run(*given)

    return there


def _same_place(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if type(a) is GradOf:
        return a.tensor is b.tensor
    return type(a) is TensorAt and a.place.key == b.place.key and a.number == b.number


def _cut(run: Callable[..., Any], cuts: dict[int, Any]) -> Callable[..., Any]:
    """The program whose outputs of these numbers are cut over devices as said, for the next call to find them so."""

    def as_before(*given: Any) -> Any:
        outputs = list(run(*given))
        for number, cut in cuts.items():
            outputs[number] = jax.lax.with_sharding_constraint(outputs[number], cut)
        return tuple(outputs)

    return as_before


def _unless_failed(run: Callable[..., Any], word: int, places: dict[int, int]) -> Callable[..., Any]:
    """The program with outputs that are written over inputs, {number of the output: of the input}, only if no check fails."""

    def kept(*given: Any) -> Any:
        outputs = list(run(*given))
        for number, place in places.items():
            outputs[number] = jax.numpy.where(outputs[word] == 0, outputs[number], given[place])
        return tuple(outputs)

    return kept if places else run
