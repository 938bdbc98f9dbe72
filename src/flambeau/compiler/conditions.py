"""What a program holds for: asked before each call, first as one quick look at everything, then one by one for the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice
from operator import is_
from typing import Any

from ..core.context.tracing import HostValue, structure
from ..core.tape.nodes import AccumulateGrad
from ..core.tensor.storage import shared
from ..core.tensor.tensor import Tensor
from ..nn.modules._hook_table import HookTable
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from .arguments import Arguments
from .guards.looks import Kind, Look, Names, Term, held_by, together, written
from .guards.modules import (
    Dependency,
    GlobalHooks,
    Groups,
    Held,
    Ignored,
    Leaf,
    Parts,
    fingerprint,
    is_library_class,
    tables_of,
)
from .guards.places import Attribute, Cell, Length, Place, own_attributes
from .guards.reads import Reads
from .memory import buffers_of, meet
from .moving import GradOf, Moving, Pattern, now, tensors_in
from .plan import Changes, Found, Plan, State
from .recorder import Guard, NumberValue, Recorder


class Check:
    """One thing that has to hold beside what the function has read. Arguments are the tensors of a call's arguments."""

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        """Looks, and Python expressions over `tensors`, that are true where it holds; `name` gives objects names in these."""
        raise NotImplementedError

    def broken(self, tensors: Any) -> str | None:
        """Why it does not hold; None if it does."""
        raise NotImplementedError


class Bound(Check):
    """Arguments that the function also finds as its state."""

    def __init__(self, arguments: Arguments):
        self.bound: list[tuple[int, Tensor]] = [(i, arguments.tensors[i]) for i in sorted(arguments.bound)]

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"tensors[{i}] is {name(tensor)}" for i, tensor in self.bound]

    def broken(self, tensors: Any) -> str | None:
        for i, tensor in self.bound:
            if tensors[i] is not tensor:
                return f"argument {i} was state of the function, too, and is another tensor now"
        return None


class Strangers(Check):
    """Arguments that must not share memory with state: which is written, or on the tape, or all if arguments are written."""

    def __init__(self, arguments: Arguments, state: State, changes: Changes):
        changed = {s for s, _ in changes.storages}
        self.storages: frozenset[int] = frozenset(
            id(t._storage) for t in state.tensors if changes.arguments or t._storage in changed or t._edge is not None
        )
        self.bound: list[Tensor] = [arguments.tensors[i] for i in sorted(arguments.bound)]
        self.count: int = len(arguments.tensors)

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        if self.bound:
            return [f"{name(self.broken)}(tensors) is None"]
        storages = name(self.storages)
        return [f"id(tensors[{i}]._storage) not in {storages}" for i in range(self.count)]

    def broken(self, tensors: Any) -> str | None:
        for tensor in tensors:
            if id(tensor._storage) in self.storages and not any(t is tensor for t in self.bound):
                return "an argument shares memory with state of the function"
        return None


class SamePattern(Check):
    """Which of the tensors that are looked up are the same, or share memory."""

    def __init__(self, pattern: Pattern):
        self.pattern = pattern

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"{name(self.pattern.broken)}(tensors) is None"]

    def broken(self, tensors: Any) -> str | None:
        return self.pattern.broken(tensors)


class Apart(Check):
    """Arguments that the function has compared with other tensors, and that were not these."""

    def __init__(self, apart: list[tuple[int, Found]]):
        self.apart = apart

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"tensors[{i}] is not {_now(other, name)}" for i, other in self.apart]

    def broken(self, tensors: Any) -> str | None:
        for i, other in self.apart:
            if tensors[i] is now(other):
                return f"argument {i} is a tensor that the function compares it with"
        return None


class Gradients(Check):
    """Tensors whose `.grad` was looked at, and whether it was None."""

    def __init__(self, seen: list[tuple[Found, bool]]):
        self.seen = seen

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [
            Look(Kind.ATTRIBUTE, t, "_grad", None) if was_none and isinstance(t, Tensor)
            else f"{_now(t, name)}._grad is {'' if was_none else 'not '}None"
            for t, was_none in self.seen
        ]  # fmt: skip

    def broken(self, tensors: Any) -> str | None:
        for tensor, was_none in self.seen:
            if (now(tensor)._grad is None) is not was_none:
                return "a gradient that was None is there now, or the other way round"
        return None


class OnTape(Check):
    """State beside parameters and optimizers' own, and what the function asks about: whether it is on the tape, and as a leaf."""

    def __init__(self, recorder: Recorder, state: State):
        tables = [table for o in recorder.begun.optimizers for table in o.state.values() if isinstance(table, dict)]
        own = {id(value) for table in tables for value in table.values()}
        found = [t for t in state.tensors if id(t) not in own and not isinstance(t, Parameter)]
        found += recorder.watcher.asked_tensors.values()
        owners = {id(o): o for t in found for o in (t, t._base) if o is not None}
        self.seen: Any = [(t, _place(t)) for t in owners.values()]

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        leaf = name(AccumulateGrad)
        return [
            Look(Kind.ATTRIBUTE, tensor, "_edge", None) if place is None
            else f"(edge := {name(tensor)}._edge) is not None and type(edge[0]) is {'' if place else 'not '}{leaf}"
            for tensor, place in self.seen
        ]  # fmt: skip

    def broken(self, tensors: Any) -> str | None:
        for tensor, place in self.seen:
            if _place(tensor) != place:
                return "a tensor that the function reads is on the tape now, or no more"
        return None


class Leaves(Check):
    """Arguments that are on the tape as leaves, of which the function asks whether they are."""

    def __init__(self, numbers: list[int]):
        self.numbers = numbers

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"{name(self.broken)}(tensors) is None"]

    def broken(self, tensors: Any) -> str | None:
        for i in self.numbers:
            if not tensors[i].is_leaf:
                return f"argument {i} is no leaf"
        return None


class NoGradients(Check):
    """Arguments whose `.grad` the function reads or sets, and that had none."""

    def __init__(self, numbers: list[int]):
        self.numbers = numbers

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"tensors[{i}]._grad is None" for i in self.numbers]

    def broken(self, tensors: Any) -> str | None:
        for i in self.numbers:
            if tensors[i]._grad is not None:
                return f"argument {i} has a gradient now"
        return None


class Together(Check):
    """Tensors that hold one array, and are one input."""

    def __init__(self, changes: Changes):
        self.together: Any = changes.together

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"{name(self.broken)}(tensors) is None"]

    def broken(self, tensors: Any) -> str | None:
        for storages in self.together:
            first, *others = (s.value for s in storages)
            if any(value is not first for value in others):
                return "tensors that held one array hold different ones now"
        return None


class Memory(Check):
    """What the program writes, and what it must not meet there in memory of NumPy's (`memory.py`)."""

    def __init__(self, arguments: Arguments, state: State, changes: Changes, reads: Reads):
        self.reads = reads
        self.storages: list[Any] = [storage for storage, _ in changes.storages]
        self.arguments: list[int] = [i for (i, _), _ in changes.arguments]
        self.places: list[Found] = [tensor for tensor, _ in changes.places]
        self.seen: list[Found] = [*state.tensors, *(source for source in state.others if hasattr(source, "find"))]
        self.matters = bool(self.storages or self.arguments or self.places)
        self.version: int = -1  # of `shared`, when none of `storages` lay in NumPy's memory

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        terms = [f"{name(shared)}.version == {name(self)}.version"] if self.storages else []
        terms += [f"not tensors[{i}]._storage.volatile" for i in self.arguments]
        terms += [f"not {_now(tensor, name)}._storage.volatile" for tensor in self.places]
        return [f"({' and '.join(terms)} or {name(self.broken)}(tensors) is None)"]

    def broken(self, tensors: Any, leaves: Iterable[Any] = ()) -> str | None:
        """`leaves` are all of the call's arguments, where there are others than tensors."""
        written = [tensors[i]._storage for i in self.arguments] + [now(tensor)._storage for tensor in self.places]
        if self.version != shared.version:
            written += self.storages
            if not any(storage.volatile for storage in self.storages):
                self.version = shared.version
        if not any(storage.volatile for storage in written):
            return None
        seen = [tensor._storage for tensor in (*tensors, *map(now, self.seen))]
        met = meet(written, seen, [*buffers_of(self.reads), *leaves])
        return "what it writes lies in memory of NumPy that it also sees as another array or tensor" if met else None


class Asked(Check):
    """What our own code has asked for."""

    def __init__(self, guards: list[Guard]):
        self.guards = guards

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        terms: list[Term] = []
        for guard in self.guards:
            answered = f"{name(guard.look)}() == {name(guard.seen)}"
            same = together([_look(*part) for part in guard.parts()]) if guard.parts is not None else None
            terms.append(answered if same is None else f"({name(same)}() or {answered})")
        return terms

    def broken(self, tensors: Any) -> str | None:
        for guard in self.guards:
            if guard.look() != guard.seen:
                return guard.what
        return None


def _look(owner: Any, name: Any, held: Any) -> Look:
    if name is None:
        return Look(Kind.LENGTH, owner, None, held)
    return Look(Kind.ENTRY if isinstance(owner, dict) else Kind.ATTRIBUTE, owner, name, held)


class Layouts(Check):
    """The view, shape and dtype of state that is another tensor at each call."""

    def __init__(self, sources: list[Any]):
        self.seen: list[tuple[Any, Any]] = [(source, _layout(source.find())) for source in sources]

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        return [f"{name(self.broken)}(tensors) is None"]

    def broken(self, tensors: Any) -> str | None:
        for source, layout in self.seen:
            if _layout(source.find()) != layout:
                return "a gradient or an attribute of a module has another layout now"
        return None


class Structure(Check):
    """Modules, their hooks and tables, optimizers' groups, and what layers call.

    Most of it is compared only after something has told of a change (`structure.version`). Tables of modules and lists of groups are
    plain dicts and lists, which code may write into: what these hold is looked at each time, in one pass. Tables of which the program
    itself replaces something are left to others.
    """

    def __init__(
        self, modules: list[Any], tensors: list[Tensor], held: list[Tensor], ignored: Ignored, optimizers: Iterable[Any]
    ):
        self.modules = modules
        self.tensors = tensors
        self.held = held  # of which the function may have asked no more than the shape or the dtype
        self.ignored = ignored
        self.optimizers: list[Any] = [*optimizers]
        self.version: int = structure.version
        self.replaced: int = structure.replaced
        self.prints: Any = self._prints()
        found = (d.what if isinstance(d, Dependency) else d for d in modules)
        tables = [t for m in found if isinstance(m, Module) for t in tables_of(m) if type(t) is not HookTable]
        written = {owner for owner, _ in ignored}
        self.empty: list[Any] = [table for table in tables if not table]
        self.tables: list[Any] = [table for table in tables if table and id(table) not in written]
        self.parts: list[Any] = [part for table in self.tables for part in (table, table.values())]
        self.looks: int = 0  # how often the same was found in other lists
        self._hold(self._lists())

    def _prints(self) -> Any:
        modules = [fingerprint(m, self.ignored) for m in self.modules]
        state = [(id(t._storage), t._view, t._tape_edge() is not None) for t in self.tensors]
        return modules, state, [(type(t), _layout(t)) for t in self.held]

    def _hold(self, lists: list[Any]) -> None:
        self.lists: list[Any] = lists
        self.entries: list[Any] = [*chain.from_iterable(self.parts)]
        self.members: list[Any] = [*chain.from_iterable(lists)]

    def _lists(self) -> list[Any]:
        groups = [optimizer.param_groups for optimizer in self.optimizers]
        return [*groups, *(group["params"] for held in groups for group in held)]

    def terms(self, name: Callable[[Any], str]) -> list[Term]:
        terms: list[Term] = [f"{name(structure)}.version == {name(self)}.version"]
        terms += [Look(Kind.EMPTY, table) for table in self.empty]
        for optimizer, groups in zip(self.optimizers, self.lists, strict=False):  # which come first there
            terms.append(Look(Kind.ATTRIBUTE, optimizer, "param_groups", groups))
            terms += [Look(Kind.ENTRY, group, "params", group["params"]) for group in groups]
        entries, members = iter(self.entries), iter(self.members)
        terms += [held_by(table, [*islice(entries, 2 * len(table))], name) for table in self.tables]
        terms += [held_by(held, [*islice(members, len(held))], name) for held in self.lists]
        return terms

    def broken(self, tensors: Any) -> str | None:
        if self.version != structure.version:
            if self.replaced != structure.replaced:
                return "a function of torch.nn.functional has been replaced"
            if self.prints != self._prints():
                return "a module's attributes, mode, parameters or hooks have changed, or the state of an optimizer"
            self.version = structure.version
        entries, lists = [*chain.from_iterable(self.parts)], self._lists()
        if any(self.empty) or not _are_same(entries, self.entries):
            return "what a module consists of, or its hooks, have changed"
        if not _are_same([*chain.from_iterable(lists)], self.members):
            return "an optimizer's groups, or their parameters, are others now"
        if not all(map(is_, (*entries, *lists), (*self.entries, *self.lists))):
            self._hold(lists)
            self.looks += 1
        return None


def _are_same(now: list[Any], before: list[Any]) -> bool:
    """Whether two lists hold the same objects; names are told by their text."""
    pairs = zip(now, before, strict=False)
    return len(now) == len(before) and all(a is b or (type(a) is type(b) is str and a == b) for a, b in pairs)


class Conditions:
    """All that has to hold for a program: what its function has read, and the checks.

    `quick(tensors)` looks at everything but numbers' outcomes; where it says no, values may be equal still.
    """

    def __init__(self, recorder: Recorder, arguments: Arguments, moving: Moving, plan: Plan):
        watcher, at, state, changes = recorder.watcher, moving.at, plan.state, plan.changes
        self.reads: Any = recorder.reads
        self.reads.finish(moving.found)
        self.looks_at_attributes: bool = watcher.looked_at_attributes
        self.held: Held = Held([m for m in recorder.modules if isinstance(m, Module)])
        self.over: str = ""  # why it can't hold any more
        self.reached: dict[int, Any] = recorder.writes.reached()
        grads = [(at.get(id(t), t), was_none) for t, was_none in recorder.grads_read.items()]
        known = _known(recorder, moving, plan)
        pattern = Pattern(moving, [GradOf(t) for t, was_none in grads if not was_none], known)
        pattern.take(arguments.tensors)
        replaced = (*recorder.writes.places.values(), *moving.found.values(), *self.reads.numbers.values())
        ignored = frozenset(_table_entry(place) for place, _ in replaced if not isinstance(place, (Cell, Length)))
        sources = [s for s in state.others if not isinstance(s, (HostValue, NumberValue))]
        modules, optimizers = [*recorder.modules], recorder.begun.optimizers
        self.structure: Structure = Structure(modules, state.tensors, known, ignored, optimizers)
        self.memory: Memory = Memory(arguments, state, changes, self.reads)
        checks = [
            (Strangers(arguments, state, changes), True),
            (Bound(arguments), arguments.bound),
            (SamePattern(pattern), pattern.seen and (pattern.kinds or len(pattern.grads) > 1)),
            (Apart([(i, at.get(id(other), other)) for i, other in watcher.apart]), watcher.apart),
            (Gradients(grads), grads),
            (NoGradients(without := arguments.looked_at(recorder)), without),
            (Together(changes), changes.together),
            (self.memory, self.memory.matters),
            (tape := OnTape(recorder, state), tape.seen),
            (Leaves(sorted(watcher.leaves)), watcher.leaves),
            (Asked(recorder.guards), recorder.guards),
            (Layouts(sources), sources),
            (self.structure, True),
        ]
        self.checks: list[Check] = [check for check, matters in checks if matters]
        self.quick: Callable[[Any], bool] = lambda tensors: False
        self._looks: Any = None

    def broken_by(self, tensors: Any, given: Any) -> str | None:
        """What has changed since the trace so that the program does not hold (any more, or here); None if it holds.

        `given` are the leaves of the call's arguments, of which `tensors` are those that are tensors.
        """
        if self.quick(tensors):
            return self.reads.outcome_broken(given) if self.reads.outcomes else None
        if self.over:
            return self.over
        broken = self.reads.broken(given)
        for check in self.checks:
            broken = broken or check.broken(tensors)
        if broken is None and self._looks != (looks := (self.reads.looks, self.structure.looks)):
            self._looks = looks
            self._write_quick()
        return broken

    def end(self, why: str) -> None:
        """It does not hold any more."""
        self.over = why
        self.quick = lambda tensors: False

    def _write_quick(self) -> None:
        names = Names()
        terms = self.reads.terms(names.name)
        for check in self.checks:
            terms += check.terms(names.name)
        self.quick = written(terms, names, "tensors")

    def changed_numbers(self) -> dict[Any, Place]:
        return {**self.reads.changed_numbers(), **self.held.changed_numbers()}

    def changed_tensors(self) -> dict[Any, Place]:
        return {**self.reads.changed_tensors(), **self.held.changed_tensors()}


def note_dependencies(recorder: Recorder, numbers: Iterable[Place], moving: Moving) -> None:
    """After the trace: what the program depends on beside the modules that were called. `numbers` are places of inputs."""
    reads, modules = recorder.reads, recorder.modules
    for module in modules:
        owner = type(module) if is_library_class(type(module)) else module  # their attributes have a guard of their own
        for place in numbers:
            if place.owner is module:
                reads.look_at_number(place)
        if not recorder.writes.is_written(place := Attribute(owner, "forward")):
            reads.place(place, place.get())
    parts = [part for module in modules for part in (module, *module._modules.values()) if part is not None]
    for cls in {type(part) for part in (*parts, *recorder.reached) if isinstance(part, Module)}:
        if not is_library_class(cls) and not recorder.writes.is_written(place := Attribute(cls, "__call__")):
            reads.place(place, place.get())
    if modules and not recorder.writes.is_written(place := Attribute(Module, "__call__")):
        reads.place(place, place.get())  # which code may replace for all modules
    known = {id(p) for module in modules for p in module._parameters.values()}
    leaves = [t for _, t in recorder.sources.values() if isinstance(t, Tensor) and id(t) not in known]
    others = [
        *(Parts(module) for module in recorder.reached if module not in modules),
        *(Groups(optimizer) for optimizer in recorder.begun.optimizers),
        *(Leaf(tensor) for tensor in leaves if tensor._edge is not None and id(tensor) not in moving.at),
        GlobalHooks(),
    ]
    modules.update(dict.fromkeys(others))


def _known(recorder: Recorder, moving: Moving, plan: Plan) -> list[Tensor]:
    """Tensors that are the same ones at each call."""
    reads, inner = recorder.reads, moving.inner
    held = [value for place, value in reads.places.values() if id(place.owner) not in inner]
    held += [
        value
        for c in reads.contents.values()
        if c.ids is not None and id(c.container) not in inner
        for i, value in enumerate(c.held)
        if i not in c.loose
    ]
    found = [t for v in held if isinstance(v, (Tensor, tuple)) for t in tensors_in(v)]
    modules = [*recorder.reached, *recorder.modules]  # in which code of ours reads unseen
    modules = [m for m in modules if isinstance(m, Module)]
    tables = [table for m in modules for table in (m._parameters, m._buffers)]
    found += [t for table in tables for t in table.values() if t is not None and id(t) not in moving.leaves]
    return [*plan.state.tensors, *(t for t, _ in plan.tape.wanted if isinstance(t, Tensor)), *found]


def _table_entry(place: Place) -> tuple[int, Any]:
    table = own_attributes(place.owner) if isinstance(place, Attribute) else place.owner
    return id(table), place.name


def _place(tensor: Tensor) -> bool | None:
    """Whether a tensor is a leaf, where it is on the tape."""
    return None if tensor._edge is None else type(tensor._edge[0]) is AccumulateGrad


def _layout(tensor: Any) -> Any:
    return tensor._view, tensor._storage.shape, tensor._storage.dtype


def _now(tensor: Found, name: Callable[[Any], str]) -> str:
    return name(tensor) if isinstance(tensor, Tensor) else f"{name(tensor.find)}()"
