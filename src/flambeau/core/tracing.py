"""What a traced function reads and writes: the recorder that `compile` puts in place of the storages.

While a thread traces (`grad_mode.state.trace` is a `Recorder`), reads of storages that hold arrays give traced values
that stand for them, and writes go to an overlay: the storages themselves, gradients and tape are left as they were, so a
trace that fails leaves nothing half-done. What was read and written becomes inputs and outputs of the program.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .grad_mode import state
from .tape import _count

# A compiled program keeps small pieces of state together in flat arrays. Bytes of an array: a greater one is moved, not only
# counted, when it is packed. Bytes of all state that a program writes: with more, a step takes so long that the number of
# arrays does not count, while joining hundreds of them doubles the time that XLA takes to compile it (ResNet34).
PACKED_ARRAY = 32 * 1024
PACKED_STATE = 32 * 1024 * 1024


class HostValue:
    """A program's input that the host computes anew at each call; the first call takes what the trace was given.

    An array that comes again (the options of an optimizer that nobody has changed) is put on the device once.
    """

    __slots__ = ("draw", "last", "pending", "placed")

    def __init__(self, draw: Callable[[], Any], pending: Any):
        self.draw = draw
        self.pending = pending
        self.last: Any = None
        self.placed: Any = None

    def __call__(self) -> Any:
        if self.pending is not None:
            value, self.pending = self.pending, None
            return value
        value = self.draw()
        if value is not self.last:
            self.last, self.placed = value, None
            return value
        if self.placed is None:
            self.placed = jax.device_put(value)
        return self.placed


MISSING: Any = object()


class Untraceable(RuntimeError):
    """Something that a compiled function cannot do at each call, with the reason and what to do."""


class Recorder:
    """The overlay of one trace.

    `sources` are the inputs that were found: a tensor whose storage is read at each call, or a `HostValue`. Each has an
    array of its own that stands for it as a constant of the trace, so that two storages that happen to hold one array
    remain two inputs.
    """

    def __init__(self) -> None:
        self.sources: dict[int, tuple[Any, Any]] = {}  # id(array that stands for it) -> (that array, source)
        self.values: dict[Any, Any] = {}  # storage -> its value at this point of the trace
        self.owners: dict[Any, Any] = {}  # storage -> the tensor through which it was found
        self.written: dict[Any, None] = {}  # storages, in the order of their first write
        self.together: list[list[Any]] = []  # tensors that hold one array, and are one input
        self.grads: dict[Any, Any] = {}  # tensor -> its `.grad` before the trace
        self.grads_read: dict[Any, bool] = {}  # tensor -> whether its `.grad` was None when first read
        self.edges: dict[Any, Any] = {}  # tensor -> its place on the tape before the trace
        self.entries: dict[tuple[int, str], tuple[Any, str, Any]] = {}  # module attributes before they were replaced
        self.guards: list[tuple[Callable[[], Any], Any, str]] = []
        self.modules: dict[Any, None] = {}  # those that were called
        self.reached: dict[Any, None] = {}  # those whose parts were looked up
        self.optimizers: dict[Any, Any] = {}  # those that made a step -> their state before
        self.generators: dict[Any, Any] = {}  # random generators that were drawn from -> their state before
        self.drawing = False  # whether a host value is being computed
        self.notes: list[list[Any]] = []  # lists that take down the host values, to repeat them
        self.again: Iterator[Any] | None = None  # host values that are to come once more
        self.once = False  # whether the first call of an optimizer's step was seen, which is unlike the later ones
        self.undo: list[Callable[[], None]] = []
        self.start = next(_count)  # nodes of the tape with a smaller number are not of this trace

    # --- values -------------------------------------------------------------------------------------------------

    def read(self, tensor: Any) -> Any:
        """The value of a tensor's whole storage."""
        storage = tensor._storage
        found = self.values.get(storage)
        if found is None:
            found = storage.value
            if not isinstance(found, jax.core.Tracer):
                self.owners[storage] = tensor
                found = self.values[storage] = self._input(found, tensor)
        return found

    def _input(self, value: Any, source: Any) -> Any:
        with jax.ensure_compile_time_eval():
            shards = [shard.data for shard in value.addressable_shards]
            stands = jax.make_array_from_single_device_arrays(value.shape, value.sharding, shards)
        self.sources[id(stands)] = (stands, source)
        return jnp.array(stands, copy=True)  # a traced value, as all inside the trace are

    def hold_one(self, tensors: list[Any]) -> bool:
        """Make whole tensors that hold one array one input, for as long as they do. False if they hold several."""
        storages = [tensor._storage for tensor in tensors]
        if any(s in self.values for s in storages):
            first = self.values.get(storages[0])
            return all(self.values.get(s) is first for s in storages)
        value = storages[0].value
        if isinstance(value, jax.core.Tracer) or not all(s.value is value for s in storages):
            return False
        found = self.read(tensors[0])
        for tensor, storage in zip(tensors, storages, strict=True):
            self.values[storage] = found
            self.owners[storage] = tensor
        self.together.append(tensors)
        return True

    def write(self, storage: Any, value: Any, tensor: Any) -> None:
        """Replace a storage's value within the trace."""
        if storage not in self.values:
            if isinstance(storage.value, jax.core.Tracer):
                storage.set(value)
                return
            self.read(tensor)  # so that it is known as an input, even if it is wholly overwritten
        self.values[storage] = value
        self.written[storage] = None

    def host(self, draw: Callable[[], Any]) -> Any:
        """A value that is computed on the host at every call (a random key, a learning rate), as an input."""
        value = self._new_host(draw) if self.again is None else next(self.again)
        for note in self.notes:
            note.append(value)
        return value

    def _new_host(self, draw: Callable[[], Any]) -> Any:
        self.drawing = True
        try:
            pending = np.asarray(draw())
        finally:
            self.drawing = False
        with jax.ensure_compile_time_eval():
            stands = jax.device_put(pending)
        self.sources[id(stands)] = (stands, HostValue(draw, pending))
        return jnp.array(stands, copy=True)

    @contextlib.contextmanager
    def noting(self, note: list[Any]) -> Iterator[None]:
        """Append the host values that are used meanwhile to a list."""
        self.notes.append(note)
        try:
            yield
        finally:
            self.notes.remove(note)

    @contextlib.contextmanager
    def repeating(self, note: list[Any]) -> Iterator[None]:
        """Use those host values again, in their order."""
        before, self.again = self.again, iter(note)
        try:
            yield
        finally:
            self.again = before

    def keep_generator(self, generator: Any, distribution: str) -> None:
        """Note that a random generator is about to be drawn from.

        Raises Untraceable if it is not for a host value: the numbers would be the same ones at each call.
        """
        if not self.drawing:
            raise Untraceable(
                f"these random numbers ({distribution}) are made in several steps on the host, which a compiled function "
                "cannot repeat: make them outside and pass them in, or use fullgraph=False"
            )
        if generator not in self.generators:
            self.generators[generator] = generator.get_state_bytes()

    # --- gradients and tape ---------------------------------------------------------------------------------------

    def read_grad(self, tensor: Any) -> None:
        """Note that a `.grad` is looked at."""
        if tensor not in self.grads:
            self.grads[tensor] = tensor._grad
            self.grads_read[tensor] = tensor._grad is None

    def write_grad(self, tensor: Any) -> None:
        """Note that a `.grad` is about to be replaced."""
        self.grads.setdefault(tensor, tensor._grad)

    def keep_edge(self, tensor: Any) -> None:
        """Note that a tensor's place on the tape is about to change."""
        self.edges.setdefault(tensor, (tensor._edge, tensor._edge_version, tensor._base))

    def keep_entry(self, table: dict[str, Any], name: str) -> None:
        """Note that a module's attribute or buffer is about to be replaced."""
        self.entries.setdefault((id(table), name), (table, name, table.get(name, MISSING)))

    def keep_optimizer(self, optimizer: Any) -> None:
        """Note that an optimizer is about to make a step."""
        if optimizer not in self.optimizers:
            state = {key: dict(value) for key, value in optimizer.state.items() if isinstance(value, dict)}
            self.optimizers[optimizer] = state, plain_options(optimizer)

    def restore(self) -> None:
        """Put gradients, tape and replaced attributes back as they were before the trace."""
        for tensor, grad in self.grads.items():
            tensor._grad = grad
        for tensor, (edge, version, base) in self.edges.items():
            tensor._edge, tensor._edge_version, tensor._base = edge, version, base
        for table, name, before in self.entries.values():
            if before is MISSING:
                table.pop(name, None)
            else:
                table[name] = before

    def give_up(self) -> None:
        """Take back what a failed trace has left: state that optimizers began, random numbers that were drawn."""
        for optimizer, (before, _) in self.optimizers.items():
            state = optimizer.state
            for key in list(state):
                if key not in before:
                    del state[key]
                elif isinstance(state[key], dict):
                    state[key].clear()
                    state[key].update(before[key])
        for generator, held in self.generators.items():
            generator.set_state_bytes(held)
        for undo in reversed(self.undo):
            undo()

    # --- what the program depends on ------------------------------------------------------------------------------

    def guard(self, look: Callable[[], Any], what: str) -> None:
        """Note that the program holds only while `look()` gives what it gives now."""
        self.guards.append((look, look(), what))


def plain_options(optimizer: Any) -> list[dict[str, Any]]:
    """An optimizer's options that are plain values, by group."""
    plain = (bool, int, float, str, tuple, type(None))
    return [{k: v for k, v in group.items() if isinstance(v, plain)} for group in optimizer.param_groups]


def recorder() -> Recorder | None:
    """The recorder of the trace that this thread is in, if any."""
    return state.trace


def is_traced() -> bool:
    """Whether this thread is in a trace or a transform, where values may not be there to look at."""
    return state.trace is not None or bool(state.transforms)


def host_value(draw: Callable[[], Any]) -> Any:
    """A host value for a program: `draw()` now, or within a trace an input that is drawn anew at each call."""
    transform = state.transforms
    return recorded_value(draw) if not transform else transform.host_value(draw)


def recorded_value(draw: Callable[[], Any]) -> Any:
    """The same for all samples, where a function is mapped over them."""
    trace = state.trace
    return draw() if trace is None else trace.host(draw)


class Structure:
    """Counts what may change the programs of compiled functions: attribute writes on modules, hooks, `requires_grad_`."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


structure = Structure()
