"""Which Python numbers and which moving tensors a compiled function takes as inputs, learned from trace to trace."""

from __future__ import annotations

from typing import Any

from ..core.dispatch.host_numbers import HostNumber, plain
from ..core.tensor.tensor import Tensor
from ..nn.parameter import Parameter
from .effects import Mutation
from .guards.places import Item, Length, Place
from .guards.reads import Reads
from .guards.values import has_inputs, is_number, is_numeric, kind_of, same
from .moving import Moving, choose
from .recorder import Recorder


class Again(Exception):
    """The trace is to be made once more, with the numbers in these places as inputs."""

    def __init__(self, places: dict[Any, Place]):
        super().__init__()
        self.places = places


class Inputs:
    """`places` hold numbers that have changed between calls, or that the function replaces; `leaves` are the numbers of such
    arguments; `moving` are places whose tensors were replaced between calls.
    """

    def __init__(self) -> None:
        self.places: dict[Any, Place] = {}
        self.leaves: set[int] = set()
        self.moving: dict[Any, Place] = {}
        self.strict: set[Any] = set()  # sources whose ints are looked at as ints
        self.never: set[Any] = set()  # sources that somebody asks for their type
        self._before: list[tuple[Place, Any]] = []

    def forget(self, keys: set[Any]) -> None:
        """These sources are no inputs, now and later."""
        self.never |= keys
        self.leaves -= keys
        for key in keys:
            self.places.pop(key, None)

    def install(self, reads: Reads) -> None:
        """Put numbers that know where they come from into the places, for the time of a trace."""
        self._before = []
        reads.strict = self.strict
        reads.lengths = {key for key, place in self.places.items() if isinstance(place, Length)}
        for place in list(self.places.values()):
            value = None if isinstance(place, Length) else place.own()  # not what its class has
            if is_numeric(value):
                try:
                    place.put(reads.number(place, value))
                except (AttributeError, TypeError):  # an attribute that code in C keeps, and nobody can write
                    self.forget({place.key})
                    continue
                self._before.append((place, value))
                reads.installed = True

    def restore(self) -> None:
        """Put Python's own numbers back."""
        for place, value in reversed(
            self._before
        ):  # an object whose hash is a number may be the key of an earlier place
            if has_inputs(place.get()):
                place.put(value)
        self._before = []

    def leaf(self, i: int, leaf: Any, recorder: Recorder) -> Any:
        """What the function gets for a leaf of its arguments that is no tensor."""
        if i in self.leaves and is_number(leaf):
            recorder.number_leaves = True
            return recorder.reads.given(i, leaf)
        return leaf

    def check(self, recorder: Recorder) -> None:
        """Raises Again for numbers that the function reads and replaces (counters, averages): they are inputs."""
        found: dict[Any, Place] = {}
        reads, writes = recorder.reads, recorder.writes
        replaced = {key: place.get() for key, (place, _) in writes.places.items()}
        for entry in writes.log:
            if isinstance(entry, Mutation) and isinstance(entry.container, dict) and len(entry.args) == 2:
                item = Item(entry.container, plain(entry.args[0]))
                replaced[item.key] = item.get()
        for key, after in replaced.items():
            if key in reads.places:
                place, before = reads.places[key]
                numbers = is_number(before) and (is_number(after) or isinstance(after, HostNumber))
                if numbers or (is_numeric(before) and same(kind_of(before), kind_of(after))):
                    found[key] = place
        for key, (place, before) in reads.places.items():
            if isinstance(place, Length) and place.get() != before and key not in reads.lengths | self.never:
                found[key] = place
        if found:
            raise Again(found)

    def choose_moving(self, recorder: Recorder) -> Moving:
        """The places whose tensors are looked up at each call."""
        called = {id(table) for m in recorder.modules for table in (m._parameters, m._buffers)}
        for place in self.moving.values():
            if id(place.owner) in called and not recorder.writes.is_written(place):
                recorder.reads.place(place, place.get())
        tensors = [source for _, source in recorder.sources.values() if isinstance(source, Tensor)]
        fixed = {id(p) for optimizer in recorder.begun.optimizers for g in optimizer.param_groups for p in g["params"]}
        fixed |= {id(tensor) for group in recorder.together for tensor in group}
        fixed |= recorder.watcher.told_apart.keys()
        moving = choose(
            recorder.reads,
            recorder.writes,
            self.moving,
            fixed,
            {t._storage for t in tensors},
            recorder.watcher.compared_containers,
        )
        held = {id(value) for key, (_, value) in recorder.reads.places.items() if key not in moving.found}
        moving.add_gradients({t: g for t, g in recorder.grads.items() if g is None or id(g) not in held})
        recorder.hold_gradients(held)
        held = {id(value) for _, value in recorder.reads.places.values()}
        moving.follow(t for t in tensors if id(t) not in held and not isinstance(t, Parameter))
        return moving
