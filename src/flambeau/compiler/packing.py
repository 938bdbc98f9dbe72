"""Small arrays in one: what goes into an XLA program and comes out of it costs by the array, not by the byte.

A program keeps the small pieces of state that it replaces (biases, the optimizer's averages of them) in one flat array,
and passes it on to its next call as it is. The storages only know their places in it. The first
that is read by anybody else takes them all apart again; the next call joins them anew.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.context.tracing import PACKED_ARRAY, PACKED_STATE
from ..core.tensor.storage import HostStorage, Storage

PATIENCE = 4  # calls in a row that found their state taken apart, before a program gives packing up


class Layout:
    """Where arrays of one dtype lie in a flat one."""

    def __init__(self, shapes: tuple[tuple[int, ...], ...], dtype: np.dtype):
        self.shapes = shapes
        self.dtype = dtype
        sizes = [math.prod(shape) for shape in shapes]
        self.starts: list[int] = [sum(sizes[:i]) for i in range(len(sizes))]
        self.size: int = sum(sizes)
        self.join: Callable[..., Any] = jax.jit(self.joined)
        self.split: Callable[..., Any] = jax.jit(lambda flat: [self.take(flat, i) for i in range(len(shapes))])

    def take(self, flat: Any, i: int) -> Any:
        """The array at place `i`."""
        shape, start = self.shapes[i], self.starts[i]
        return jax.lax.slice(flat, (start,), (start + math.prod(shape),)).reshape(shape)

    def joined(self, parts: Sequence[Any]) -> Any:
        """The flat array of these parts."""
        return jnp.concatenate([part.reshape(-1) for part in parts])


@functools.lru_cache(maxsize=256)
def layout_of(shapes: tuple[tuple[int, ...], ...], dtype: np.dtype) -> Layout:
    return Layout(shapes, dtype)


class Pack:
    """A flat array that storages look into."""

    __slots__ = ("broken", "flat", "layout", "parts", "written")

    def __init__(self, layout: Layout, flat: Any):
        self.layout: Layout = layout
        self.flat: Any = flat
        self.parts: Any = None
        self.written: int = 0  # how often all of it has been replaced
        self.broken: bool = False  # whether a storage has left

    def part(self, i: int) -> Any:
        parts = self.parts
        if parts is None:
            flat = self.flat
            with jax.ensure_compile_time_eval():
                parts = self.layout.split(flat)
            if self.flat is flat:  # no other thread has replaced it
                self.parts = parts
        return parts[i]


class PackedStorage(Storage):
    """A storage whose values lie in a pack. The first read or write from outside makes it an ordinary one.

    `packed` is (the pack, the place in it, the version that counts from there); nothing else is set.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:  # type: ignore[override]
        while (held := self.packed) is not None:
            pack, place, base = held
            written = pack.written
            value = pack.part(place)
            if (
                self.packed is held and pack.written == written
            ):  # no other thread has been here: see `core/tensor/storage.py`
                pack.broken = True
                self.__class__ = Storage  # type: ignore[assignment]
                self.value = value  # type: ignore[misc]
                self.version = base + written  # type: ignore[misc]
                self.packed: Any = None  # type: ignore[assignment]
                return value
        return self.value  # another thread was here first

    @property
    def version(self) -> int:  # type: ignore[override]
        held = self.packed
        return self.version if held is None else held[2] + held[0].written

    @property
    def shape(self) -> tuple[int, ...]:
        held = self.packed
        return self.shape if held is None else held[0].layout.shapes[held[1]]

    @property
    def dtype(self) -> np.dtype:
        held = self.packed
        return self.dtype if held is None else held[0].layout.dtype

    def set(self, value: Any) -> None:
        held = self.packed
        if held is None:
            self.set(value)
            return
        held[0].broken = True
        self.__class__ = Storage  # type: ignore[assignment]
        self.value = value  # type: ignore[misc]
        self.version = held[2] + held[0].written + 1  # type: ignore[misc]
        self.packed = None

    def set_host(self, values: np.ndarray) -> None:
        held = self.packed
        if held is None:
            self.set_host(values)
            return
        held[0].broken = True
        self.__class__ = HostStorage  # type: ignore[assignment]
        self.host: Any = values
        self.version = held[2] + held[0].written + 1  # type: ignore[misc]
        self.packed = None


class Family:
    """Storages that a program keeps in one pack from call to call."""

    def __init__(self, storages: Sequence[Storage], layout: Layout):
        self.storages = storages
        self.layout = layout
        self.pack: Pack | None = None
        self.disturbed: int = 0  # calls in a row that had to join the parts anew

    def join(self) -> Any:
        """The flat array for a call that finds none; None if it is taken apart between all calls."""
        pack = self.pack
        if pack is not None:
            self.disturbed = self.disturbed + 1 if pack.written == 0 else 1
        if self.disturbed >= PATIENCE:
            return None
        return self.layout.join([storage.value for storage in self.storages])

    def accept(self, flat: Any) -> None:
        """Take the flat array that a call has made of it."""
        # Other threads may read these storages. They can't come between lines that call nothing, and let no array go.
        pack = self.pack
        if pack is not None:
            before = pack.flat, pack.parts
            if not pack.broken:
                pack.flat = flat
                pack.parts = None
                pack.written += 1
                del before
                return
        pack = self.pack = Pack(self.layout, flat)
        for i, storage in enumerate(self.storages):
            place, before = (pack, i, storage.version + 1), storage.value
            if storage.volatile:  # NumPy shares this memory
                storage.set(pack.part(i))
                pack.broken = True
                continue
            storage.__class__ = Storage
            storage.value = None
            storage.packed = place
            storage.__class__ = PackedStorage  # type: ignore[assignment]
            del before


_families: weakref.WeakValueDictionary[Any, Family] = weakref.WeakValueDictionary()


def family_of(storages: Sequence[Storage]) -> Family:
    """The family of these storages: programs that replace the same ones share it."""
    layout = layout_of(tuple(tuple(s.shape) for s in storages), np.dtype(storages[0].dtype))
    key = tuple(map(id, storages))
    family = _families.get(key)
    if family is None:
        family = _families[key] = Family(storages, layout)
    return family


class Packing:
    """Which state and which gradients of a program are packed.

    `writes` are the program's (storage, number of the output) and `gradients` (number of the recipe, of the output, shape,
    dtype); both only where nothing else uses the output.
    """

    def __init__(self, storages: Sequence[Storage], writes: Any, gradients: Any):
        places = {id(storage): i for i, storage in reversed(list(enumerate(storages)))}
        groups: dict[Any, list[tuple[int, int]]] = {}
        for storage, number in writes:
            i = places.get(id(storage))
            if i is not None and _small(storage.shape, storage.dtype) and not storage.volatile:
                groups.setdefault((np.dtype(storage.dtype), storage.value.sharding), []).append((i, number))
        total = sum(math.prod(storage.shape) * np.dtype(storage.dtype).itemsize for storage, _ in writes)
        if total > PACKED_STATE:
            groups, gradients = {}, ()
        # in the order of the writes: an optimizer then finds the parameters that it updates together one after the other
        chosen = [sorted(group, key=itemgetter(1)) for group in groups.values() if len(group) > 1]
        self.families: list[Family] = [family_of([storages[i] for i, _ in group]) for group in chosen]
        self.numbers: list[list[int]] = [[number for _, number in group] for group in chosen]
        self.state: dict[int, tuple[int, int]] = {
            i: (k, place) for k, group in enumerate(chosen) for place, (i, _) in enumerate(group)
        }
        made: dict[Any, list[Any]] = {}
        for gradient in gradients:
            if _small(*gradient[2:]):
                made.setdefault(np.dtype(gradient[3]), []).append(gradient)
        fresh = [group for group in made.values() if len(group) > 1]
        self.layouts: list[Layout] = [
            layout_of(tuple(tuple(g[2]) for g in group), dtype) for dtype, group in made.items() if group in fresh
        ]
        self.numbers += [[g[1] for g in group] for group in fresh]
        self.recipes: dict[Any, tuple[int, int]] = {
            g[0]: (k, place) for k, group in enumerate(fresh) for place, g in enumerate(group)
        }
        self.gone: frozenset[int] = frozenset(number for numbers in self.numbers for number in numbers)

    def around(self, forward: Any, arguments: int, states: int) -> Any:
        """The program with its state in flat arrays, which come last; the outputs' flat arrays come last as well."""
        families, loose = len(self.families), states - len(self.state)

        def run(*given: Any) -> Any:
            flats = given[len(given) - families :]
            singles = iter(given[arguments : arguments + loose])
            state = [
                self.families[self.state[i][0]].layout.take(flats[self.state[i][0]], self.state[i][1])
                if i in self.state
                else next(singles)
                for i in range(states)
            ]
            outputs = forward(*given[:arguments], *state, *given[arguments + loose : len(given) - families])
            kept = [output for number, output in enumerate(outputs) if number not in self.gone]
            layouts = [*(family.layout for family in self.families), *self.layouts]
            flat = [
                layout.joined([outputs[n] for n in numbers])
                for layout, numbers in zip(layouts, self.numbers, strict=True)
            ]
            return (*kept, *flat)

        return run


def _small(shape: Sequence[int], dtype: Any) -> bool:
    return 0 < math.prod(shape) * np.dtype(dtype).itemsize <= PACKED_ARRAY
