"""Places whose tensors may be others at each call: what of them a program looks up, and what must hold for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any

from ..core.tensor import tree
from ..core.tensor.tensor import Tensor
from .effects import Writes
from .guards.modules import tensor_hooks
from .guards.places import Place, TensorAt
from .guards.reads import Reads
from .guards.values import same


class GradOf:
    """The gradient of a tensor, whichever tensor it is at the time of the call."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any):
        self.tensor: Any = tensor  # or where it is

    def find(self) -> Any:
        return now(self.tensor)._grad

    def __call__(self, given: Any) -> Any:
        return self.find()._storage.value


def now(tensor: Any) -> Any:
    """A tensor, or the one that is in a place at the time of the call."""
    return tensor if isinstance(tensor, Tensor) else tensor.find()


class Kinds:
    """What a place holds, up to the values of its tensors."""

    spec: Any

    __slots__ = ("leaves", "spec")

    def __init__(self, value: Any):
        leaves, self.spec = tree.flatten(value)
        self.leaves: list[_Kind | Any] = [_kind(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def hold(self, value: Any) -> bool:
        leaves, spec = tree.flatten(value)
        if len(leaves) != len(self.leaves) or spec != self.spec:
            return False
        return all(
            type(seen) is _Kind and seen == _kind(leaf) if isinstance(leaf, Tensor) else same(seen, leaf)
            for seen, leaf in zip(self.leaves, leaves, strict=True)
        )


class _Kind(tuple[Any, ...]):
    __slots__ = ()


def _kind(tensor: Tensor) -> _Kind:
    storage = tensor._storage
    edge = tensor._tape_edge()
    on_tape = None if edge is None else (type(edge[0]).__name__, tensor_hooks(tensor))
    own = tuple(tensor.__dict__) if tensor.__dict__ else ()
    return _Kind((type(tensor), tensor._view, storage.shape, storage.dtype, on_tape, own))


class Moving:
    """The places of one trace whose tensors are looked up at each call.

    `found` holds (place, what was there before the trace) by the place's key; `at` where each tensor in them is, by its id, and each
    gradient.
    """

    def __init__(self) -> None:
        self.found: dict[Any, tuple[Place, Any]] = {}
        self.at: dict[int, TensorAt | GradOf] = {}
        self.leaves: dict[int, Tensor] = {}  # those that a place holds, by id: not what was made of them
        self.inner: dict[int, Any] = {}  # containers and records in the places, by id

    def add(self, key: Any, place: Place, before: Any) -> None:
        self.found[key] = place, before
        self.inner.update((id(part), part) for part in opened(before))
        for number, leaf in enumerate(tree.flatten(before)[0]):
            if isinstance(leaf, Tensor) and id(leaf) not in self.at:
                self.at[id(leaf)] = TensorAt(place, number)
                self.leaves[id(leaf)] = leaf

    def add_gradients(self, grads: dict[Any, Any]) -> None:
        """The gradients that tensors had before the trace."""
        for tensor, gradient in grads.items():
            if gradient is not None and id(gradient) not in self.at:
                self.at[id(gradient)] = GradOf(self.at.get(id(tensor), tensor))
                self.leaves[id(gradient)] = gradient

    def memory(self) -> dict[Any, TensorAt | GradOf]:
        """Where the tensors are whose memory these are."""
        return {leaf._storage: self.at[i] for i, leaf in self.leaves.items()}

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """The function has looked at the memory of these through views or `detach()` that it made itself."""
        memory = self.memory()
        for tensor in tensors:
            if tensor._storage in memory:
                self.at.setdefault(id(tensor), memory[tensor._storage])


def opened(value: Any) -> list[Any]:
    """The containers and records in a value that are the same to a program as others with the same tensors."""
    found: list[Any] = []
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, (list, deque)):
            found.append(part)
            stack += part
        elif isinstance(part, dict):
            found.append(part)
            stack += part.values()
        elif isinstance(part, tuple):
            stack += part
        elif is_dataclass(part) and not isinstance(part, type) and hasattr(part, "__dict__"):
            found.append(part)
            stack += vars(part).values()
    return found


def tensors_in(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree.flatten(value)[0] if isinstance(leaf, Tensor)]


def choose(
    reads: Reads, writes: Writes, learned: dict[Any, Any], fixed: set[int], read: set[Any], compared: dict[int, Any]
) -> Moving:
    """The places to look up: those that the function replaces after a read, those in containers that it changes, and those where
    another tensor was found after an earlier trace (`learned`: their keys). `fixed` are the ids of tensors that must stay the
    same, `read` the storages of the inputs, `compared` containers of which it was asked whether they are others, by their ids.
    """
    owners = {
        id(place.owner) for place, _ in (*reads.places.values(), *reads.numbers.values(), *writes.places.values())
    }
    candidates: dict[Any, tuple[Place, Any]] = {}
    for key, (place, before) in writes.places.items():
        tensors = tensors_in(before)
        if tensors and (key in writes.read_first or any(t._storage in read for t in tensors)):
            candidates[key] = place, before
    for key in (*writes.stored, *learned, *reads.picked):
        if key in reads.places:
            candidates.setdefault(key, reads.places[key])
    for contents in reads.contents.values():
        places = contents.places()
        if id(contents.container) in writes.snapshots or any(place.key in learned for _, place in places):
            candidates.update(
                (place.key, (place, contents.held[i])) for i, place in places if tensors_in(contents.held[i])
            )
    moving = Moving()
    held: dict[int, int] = {}
    inside = {id(part) for _, before in candidates.values() for part in opened(before)}
    for key, (place, value) in reads.places.items():
        if isinstance(value, Tensor) and key not in candidates and id(place.owner) not in inside:
            held[id(value)] = held.get(id(value), 0) + 1
    for key, (place, before) in candidates.items():
        tensors, parts = tensors_in(before), opened(before)
        still = key in writes.places or all(id(t) not in held for t in tensors)
        alone = not any(is_written(writes, p) or id(p) in compared for p in parts)
        plain = not any(id(t) in fixed or id(t) in owners or has_hooks(t) for t in tensors)
        if tensors and still and alone and plain:
            moving.add(key, place, before)
        elif tensors and key not in reads.places and isinstance(before, Tensor):
            reads.place(place, before)
    for contents in reads.contents.values():
        contents.loosen({i for i, place in contents.places() if place.key in moving.found})
    return moving


def is_written(writes: Writes, part: Any) -> bool:
    return id(part) in writes.snapshots or any(place.owner is part for place, _ in writes.places.values())


def has_hooks(tensor: Tensor) -> bool:
    hooks = tensor_hooks(tensor)
    return hooks is not None and any(hooks)


class Pattern:
    """Which of the tensors that are looked up are the same, or share memory: among each other, with arguments, with what stays."""

    def __init__(self, moving: Moving, grads: list[GradOf], known: Iterable[Tensor]):
        self.kinds: list[tuple[Place, Kinds]] = [(place, Kinds(before)) for place, before in moving.found.values()]
        self.grads = grads
        self.known: dict[int, int] = {}
        self.alive: list[Any] = []
        if self.kinds or grads:
            for tensor in known:
                self.alive.append((tensor, tensor._storage))
                for thing in (tensor, tensor._storage):
                    self.known.setdefault(id(thing), -1 - len(self.known))
        self.seen: Any = None

    def take(self, tensors: list[Tensor]) -> None:
        self.seen = self.look(tensors)

    def look(self, tensors: list[Tensor]) -> Any:
        known = self.known
        out: list[Any] = []
        first: dict[int, int] = {}
        found = [t for place, _ in self.kinds for t in tensors_in(place.get())]
        for source in self.grads:
            gradient = source.find()
            if gradient is not None:
                found.append(gradient)
        for tensor in found:
            for key in (id(tensor), id(tensor._storage)):
                number = known.get(key)
                out.append(first.setdefault(key, len(first)) if number is None else number)
        for i, tensor in enumerate(tensors):
            if id(tensor._storage) in first:
                out.append((i, first.get(id(tensor)), first[id(tensor._storage)]))
        return out

    def broken(self, tensors: list[Tensor]) -> str | None:
        for place, kinds in self.kinds:
            if not kinds.hold(place.get()):
                return f"{place} is of another kind now"
        if (self.kinds or len(self.grads) > 1) and self.look(tensors) != self.seen:
            return "tensors that were apart are the same one or share memory now, or the other way round"
        return None


__all__ = ["GradOf", "Kinds", "Moving", "Pattern", "choose", "now"]
