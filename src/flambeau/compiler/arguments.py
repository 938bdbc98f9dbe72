"""The tensors among a call's arguments: what a traced function gets for them, and what it does to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..core.context.overrides import no_subclasses
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor, blank
from . import backwards
from .recorder import Recorder


class Conflict(Exception):
    """Arguments that have to be taken by identity, since the function reaches them on another way too."""

    def __init__(self, arguments: frozenset[int]):
        super().__init__(arguments)
        self.arguments = arguments


class Together(BaseException):
    """The function writes into arguments that share memory: what each writes is to be seen through the others."""


def share(tensors: list[Tensor]) -> bool:
    """Whether some look into one memory, or are one tensor."""
    return len({t._storage for t in tensors}) < len(tensors)


def may_be_apart(tensors: list[Tensor]) -> bool:
    """Whether those that share memory (parts of a data set) may each be values of their own, if nobody writes: plain ones off the tape.

    Where in the memory they lie is then no matter of the program's.
    """
    seen: dict[Any, Tensor] = {}
    for tensor in tensors:
        other = seen.setdefault(tensor._storage, tensor)
        if other is not tensor and not all(type(t) is Tensor and not t.requires_grad for t in (tensor, other)):
            return False
    return True


def sharing(tensors: list[Tensor], apart: bool) -> Any:
    """Which arguments are the same or share memory, and, unless they are values of their own, how they look into it."""
    objects: dict[int, int] = {}
    if apart:
        return tuple(objects.setdefault(id(t), i) for i, t in enumerate(tensors))
    first: dict[Any, int] = {}
    return tuple(
        (first.setdefault(t._storage, i), objects.setdefault(id(t), i), t._storage.shape, t._view)
        for i, t in enumerate(tensors)
    )


class Arguments:
    """`bound` are the numbers of those that enter the trace as themselves rather than as stand-ins: they are then state like
    everything else that the function finds.

    `apart`: those that share memory are values of their own.
    `inputs` are the arguments whose values are inputs: (number, whether as the tensor shows it or its whole storage).
    """

    def __init__(self, leaves: list[Any], bound: frozenset[int], apart: bool = False):
        self.tensors: list[Tensor] = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        self.arrays_of_numpy: list[Any] = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
        self.bound = bound
        self.apart: bool = apart and share(self.tensors) and may_be_apart(self.tensors)
        self.inputs: list[tuple[int, bool]] = self._choose()
        self.stand_ins: list[Tensor] = []
        self.numbers: dict[int, int] = {}  # of the stand-ins, by id
        self.homes: dict[Any, int] = {}  # storages of stand-ins that are whole tensors -> their numbers
        self._before: list[tuple[Storage, Any]] = []
        self._given: list[Any] = []  # the arrays of the call that is traced

    def _choose(self) -> list[tuple[int, bool]]:
        objects: dict[Any, set[int]] = {}
        for tensor in self.tensors:
            objects.setdefault(self._home(tensor), set()).add(id(tensor))
        chosen: dict[Any, tuple[int, bool]] = {}
        for i, tensor in enumerate(self.tensors):
            if i not in self.bound:
                home = self._home(tensor)
                chosen.setdefault(home, (i, len(objects[home]) == 1))
        return list(chosen.values())

    def _home(self, tensor: Tensor) -> Any:
        """What stands for the memory in which a tensor's values are."""
        return id(tensor) if self.apart else tensor._storage

    def arrays(self) -> list[Any]:
        self._given = [self.tensors[i]._array if dense else self.tensors[i]._storage.value for i, dense in self.inputs]
        return self._given

    def stand_in(self, arrays: Sequence[Any], recorder: Recorder) -> list[Tensor]:
        """What the function gets for its tensors: others of the same kind, on storages of their own with these arrays."""
        with no_subclasses():  # nobody's `__torch_function__` is to see it
            return self._stand_in(arrays, recorder)

    def _stand_in(self, arrays: Sequence[Any], recorder: Recorder) -> list[Tensor]:
        storages: dict[Any, tuple[Storage, bool]] = {}
        for n, ((i, dense), array) in enumerate(zip(self.inputs, arrays, strict=True)):
            recorder.demands.origins.add(array, self._given[n], ("argument", n))
            storages[self._home(self.tensors[i])] = Storage(array), dense
        known: dict[int, Tensor] = {}
        for i, tensor in enumerate(self.tensors):
            if i in self.bound:
                self.stand_ins.append(tensor)
                continue
            made = known.get(id(tensor))
            if made is None:
                storage, dense = storages[self._home(tensor)]
                made = known[id(tensor)] = blank(type(tensor), storage, None if dense else tensor._view)
                if tensor.requires_grad:
                    made.requires_grad_()
                    if backwards.hooked(tensor._tape_edge()):
                        made.register_hook(backwards.refuse_hooks)
            self.stand_ins.append(made)
            recorder.watcher.originals.setdefault(id(made), (i, tensor))
            if tensor.__dict__:
                made.__dict__.update(tensor.__dict__)
            recorder.stand_ins[id(made)] = made
            if tensor._view is not None and made._view is None:
                recorder.parts.add(made._storage)
            if not tensor.is_contiguous() and made._view is None:
                recorder.strided[id(made)] = made
        self._before = [(s, s.value) for s, _ in storages.values()]
        return self.stand_ins

    def put_back(self) -> None:
        """The trace is over: a stand-in that the function has kept in an object has the values of this call."""
        self._given = []
        for tensor, stand_in in zip(self.tensors, self.stand_ins, strict=False):
            if stand_in is not tensor and isinstance(stand_in._storage.value, jax.core.Tracer):
                stand_in._storage, stand_in._view = tensor._storage, tensor._view

    # --- what the function has done to them -----------------------------------------------------------------------

    def find(self) -> None:
        """The function has run: note which stand-in is which, and which are whole tensors still."""
        free = [(i, s) for i, s in enumerate(self.stand_ins) if i not in self.bound]
        self.numbers = {id(s): i for i, s in reversed(free)}
        for i, stand_in in free:
            if self.tensors[i]._view is None and stand_in._view is None:
                self.homes.setdefault(stand_in._storage, i)

    def storages(self) -> set[Storage]:
        return {storage for storage, _ in self._before}

    def part(self, storage: Storage) -> int | None:
        """The number of the argument that shows a part of a larger memory, and for which this storage stands."""
        for i, dense in self.inputs:
            if dense and self.stand_ins[i]._storage is storage and self.tensors[i]._view is not None:
                return i
        return None

    def writes(self, emit: Callable[[Any], int]) -> list[tuple[tuple[int, bool], int]]:
        """What was written into them: the argument, whether its whole storage is written, and the number of the output."""
        return [
            (self._argument_of(storage), emit(storage.value))
            for storage, before in self._before
            if storage.value is not before
        ]

    def _argument_of(self, storage: Storage) -> tuple[int, bool]:
        for i, dense in self.inputs:
            if self.stand_ins[i]._storage is storage:
                return i, not dense
        raise AssertionError("a stand-in's storage belongs to no argument")

    def grads(self, emit: Callable[[Any], int]) -> list[tuple[int, int]]:
        """The gradients that came to them: number of the argument, of the output."""
        return [
            (i, emit(s._grad._array))
            for i, s in enumerate(self.stand_ins)
            if id(s) in self.numbers and s._grad is not None
        ]

    def looked_at(self, recorder: Recorder) -> list[int]:
        """The numbers of those whose `.grad` the function itself reads or sets."""
        return sorted(i for key, i in self.numbers.items() if key in recorder.looked_at_grads)

    def check(self, recorder: Recorder, writes: list[tuple[tuple[int, bool], int]]) -> None:
        """Raises Conflict if the function has met arguments as its state, too; Together if they are not apart after all."""
        if self.apart and writes:
            raise Together
        written = {self.tensors[argument]._storage for (argument, _), _ in writes}
        found = set(recorder.watcher.taken - self.bound)
        for i, tensor in enumerate(self.tensors):
            if i in self.bound:
                continue
            storage = tensor._storage
            shared = storage in recorder.values and (
                storage in recorder.written or storage in written or tensor.requires_grad
            )
            if (
                shared
                or tensor in recorder.grads
                or (tensor._grad is not None and id(self.stand_ins[i]) in recorder.looked_at_grads)
            ):
                found.add(i)
        if found:
            raise Conflict(frozenset(found | self.bound))
