"""The recorder: the overlay that a trace puts in place of storages, gradients, the tape and Python's own objects."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import core as jax_core
from jax._src.array import ArrayImpl
from jax._src.lax.lax import _convert_element_type, copy_p

from ..core.context.tracing import Untraceable
from ..core.dispatch.host_numbers import HostNumber
from ..core.tape.nodes import _count
from ..core.tensor.storage import PartsStorage, is_traced
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from .begun import Begun
from .demands import Demands
from .draws import Draws
from .effects import Later, Writes
from .guards.places import Attribute, Item
from .guards.reads import Reads
from .guards.shadow import Watcher


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
        self.borrowed: set[Any] = set()  # storages that look into memory of NumPy since the trace began
        self.written: dict[Any, None] = {}  # storages, in the order of their first write
        self.together: list[list[Any]] = []  # tensors that hold one array, and are one input
        self.grads: dict[Any, Any] = {}  # tensor -> its `.grad` before the trace
        self.grads_read: dict[Any, bool] = {}  # tensor -> whether its `.grad` was None when first read
        self.grads_written: set[Any] = set()  # tensors whose `.grad` is set, perhaps to what it was
        self.looked_at_grads: set[int] = set()  # ids of stand-ins whose `.grad` the function itself reads or sets
        self.edges: dict[Any, Any] = {}  # tensor -> its place on the tape before the trace
        self.reads: Reads = Reads()
        self.writes: Writes = Writes(self.reads)
        self.watcher: Watcher = Watcher(self.reads, self.writes)
        self.stand_ins: dict[int, Any] = {}  # tensors that stand for arguments, by id
        self.parts: set[Any] = set()  # storages of stand-ins whose arguments are parts of a larger memory
        self.strided: dict[int, Any] = {}  # those of them whose arguments are not contiguous
        self.number_leaves = False  # whether numbers among the arguments are inputs
        self.number_inputs: dict[int, Any] = {}  # id of an expression -> (the expression, the traced value of it)
        self.guards: list[Guard] = []
        self.missed: Exception | None = (
            None  # that values were asked for, which others have taken for an error of their own
        )
        self.modules: dict[Any, None] = {}  # those that were called
        self.reached: dict[Any, None] = {}  # those whose parts were looked up
        self.draws: Draws = Draws(self.sources)
        self.demands: Demands = Demands(self.watcher, self.draws.drawers)
        self.begun: Begun = Begun()
        self.level: Any = None  # JAX's trace, by which the values of this one are known
        self.reads.make_input = self.number_input
        self.start: int = next(_count)  # nodes of the tape with a smaller number are not of this trace

    # --- values -------------------------------------------------------------------------------------------------

    def read(self, tensor: Any) -> Any:
        """The value of a tensor's whole storage."""
        storage = tensor._storage
        found = self.values.get(storage)
        if found is None:
            found = storage.host.stand_in() if type(storage) is PartsStorage else storage.value
            if not isinstance(found, jax.core.Tracer):
                self.owners[storage] = tensor
                found = self.values[storage] = self._input(found, tensor)
        return found

    def _input(self, value: Any, source: Any) -> Any:
        aval = jax_core.ShapedArray(value.shape, value.dtype)
        stands = ArrayImpl(aval, value.sharding, value._arrays, committed=True, _skip_checks=True)
        self.sources[id(stands)] = (stands, source)
        with jax_core.set_current_trace(self.level):  # not of a branch or loop that is being traced in it
            traced = copy_p.bind(stands)  # a traced value, as all inside the trace are
        self.demands.origins.add(traced, value, ("state", id(stands)))
        return traced

    def is_outside(self, tensor: Any) -> bool:
        """Whether a tensor's memory was there before the trace (or was made outside of it, as new state)."""
        storage = tensor._storage
        return storage in self.values or not is_traced(storage)

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
        """Replace a storage's value within the trace. Raises Untraceable where a NumPy array would have to change along."""
        if storage in self.borrowed:
            raise Untraceable("it writes into the memory of a NumPy array: make the tensor with torch.tensor(array)")
        if storage not in self.values:
            if is_traced(storage):
                storage.set(value)
                return
            self.read(tensor)  # so that it is known as an input, even if it is wholly overwritten
        self.values[storage] = value
        self.written[storage] = None

    # --- gradients and tape ---------------------------------------------------------------------------------------

    def read_grad(self, tensor: Any) -> None:
        """Note that a `.grad` is looked at."""
        if tensor not in self.grads:
            self.grads[tensor] = tensor._grad
            self.grads_read[tensor] = tensor._grad is None

    def look_at_grad(self, tensor: Any) -> None:
        """Note that the function itself looks at a `.grad`: an argument's stands for one that has none before the call."""
        self.read_grad(tensor)
        if id(tensor) in self.stand_ins:
            self.looked_at_grads.add(id(tensor))

    def write_grad(self, tensor: Any) -> None:
        """Note that a `.grad` is about to be replaced."""
        if id(tensor) in self.stand_ins:
            self.looked_at_grads.add(id(tensor))
        self.grads.setdefault(tensor, tensor._grad)
        self.grads_written.add(tensor)

    def hold_gradients(self, held: set[int]) -> None:
        """Note that gradients which are the very tensors that stand elsewhere, with these ids, have to be these at each call."""
        for tensor, was_none in self.grads_read.items():
            gradient = self.grads[tensor]
            if not was_none and id(gradient) in held:
                look = functools.partial(_has_gradient, tensor, gradient)
                self.guards.append(Guard(look, True, "a gradient is no more the tensor that is also elsewhere"))

    def keep_edge(self, tensor: Any) -> None:
        """Note that a tensor's place on the tape is about to change, unless the trace has made it (and may drop it)."""
        if id(tensor) in self.stand_ins or self.is_outside(tensor):
            self.edges.setdefault(tensor, (tensor._edge, tensor._edge_version, tensor._base))

    def keep_flag(self, tensor: Any, requires_grad: bool) -> None:
        """Note that a tensor is about to require grad, or no more. Raises Untraceable if that changes an argument."""
        if id(tensor) in self.stand_ins and (tensor._tape_edge() is not None) is not requires_grad:
            raise Untraceable("it changes whether an argument requires grad: do that outside")
        self.keep_edge(tensor)

    def look_at_strides(self, tensor: Any) -> None:
        """Raises Untraceable for an argument that is no contiguous tensor: in the trace it is one."""
        if id(tensor) in self.strided:
            raise Untraceable(
                "it asks for the strides of an argument that is not contiguous; give it argument.contiguous()"
            )

    def look_at_memory(self, tensor: Any) -> None:
        """Raises Untraceable for an argument that is a part of a larger memory: in the trace it is all of its own."""
        if tensor._storage in self.parts:
            raise Untraceable("it asks where in its memory an argument lies that is a part of it: ask outside")

    def keep_memory(self, tensor: Any) -> None:
        """Note that a tensor is about to look into another storage."""
        if id(tensor) in self.stand_ins or not self.watcher.is_traced(tensor):
            raise Untraceable(
                "it gives a tensor other memory (`x.data = ...`), while others may look into the old: write into it with "
                "`x.data.copy_(...)` instead"
            )

    def look_at_class(self, cls: type, names: tuple[str, ...]) -> None:
        """Note that our own code looks up methods in a class of the user's."""
        if id(cls) not in self.watcher.fresh:
            self.reads.see(cls)
            for name in names:
                self.watcher.read(Attribute(cls, name))

    # --- Python's own objects -------------------------------------------------------------------------------------

    def keep_entry(self, module: Any, name: str, value: Any) -> None:
        """Note that a module's attribute or buffer is about to be replaced."""
        own = module.__dict__
        if id(module) in self.watcher.fresh or own["_parameters"].get(name) is value is not None:
            return
        if name in own["_parameters"] or name in own["_modules"] or isinstance(value, (Module, Parameter)):
            raise Untraceable(
                f"it gives {type(module).__name__} a parameter or child module ({name!r}): register these outside"
            )
        self.keep_place(Item(own["_buffers"], name) if name in own["_buffers"] else Attribute(module, name))

    def keep_table(self, module: Any, table: str, name: str) -> None:
        """Note that an entry of one of a module's tables is about to be set."""
        if id(module) in self.watcher.fresh:
            return
        if table != "_buffers":
            raise Untraceable(
                f"it gives {type(module).__name__} a parameter or child module ({name!r}): register these outside"
            )
        self.keep_place(Item(module.__dict__[table], name))

    def hook(self, tensor: Any) -> None:
        """Raises Untraceable if a tensor that was there before gets a hook: each call has to add one."""
        outside = tensor._storage in self.values or not is_traced(tensor._storage)
        if outside or id(tensor) in self.stand_ins:
            raise Untraceable("it puts a hook on the gradient of a tensor from outside: do that outside")

    def retain(self, tensor: Any) -> None:
        """Raises Untraceable for a computed argument whose gradient is to be kept: here it is a leaf."""
        if id(tensor) in self.watcher.originals and not self.watcher.originals[id(tensor)][1].is_leaf:
            raise Untraceable("it calls retain_grad on an argument: do that outside")

    def change_hooks(self, handle: Any) -> None:
        """Raises Untraceable if a hook that was there before is taken out."""
        if id(handle) not in self.watcher.fresh:
            raise Untraceable("it removes a hook: do that outside, or have the hook itself look whether it is wanted")

    def keep_place(self, place: Any) -> None:
        self.reads.see(place.owner)
        self.writes.put(place)

    def lend(self, table: Any, name: str) -> None:
        """Note that an entry of a module's table is to hold something else for a time, within the trace."""
        place = Item(table, name)
        if place.key not in self.writes.places:
            self.reads.see(table)
            self.writes.put(place)
            self.writes.log.remove(place)  # in the end it is as it was

    def option(self, group: dict[str, Any], name: str, value: Any) -> Any:
        """An optimizer's option, if it is no matter of the host at each call: a traced value or constant; else None."""
        if id(group) in self.writes.away:
            raise Untraceable(
                "an optimizer makes a step after a scheduler's step, which the program makes after its run"
            )
        if isinstance(value, HostNumber):
            return value.as_input()
        return value if self.writes.is_written(Item(group, name)) else None

    def defer(self, function: Callable[..., Any], args: Any, kwargs: Any, touched: list[Any]) -> None:
        """Have a call made after each run, instead of now. The objects `touched` are not to be looked at until then."""
        self.writes.defer(function, args, kwargs, touched)

    def later(self, thing: Any, function: Callable[..., Any]) -> Any:
        """What `function(thing)` gives after the deferred calls, if these change the thing; else None."""
        return Later(function, (thing,)) if id(thing) in self.writes.away else None

    def number_input(self, number: HostNumber) -> Any:
        """A traced value that is this Python number at each call."""
        key = id(number.expression)
        if key not in self.number_inputs:
            if isinstance(number.plain, int) and not -(2**63) <= number.plain < 2**63:
                return number.settle()
            with jax.ensure_compile_time_eval():
                stands = jax.device_put(np.asarray(number.plain))
            self.sources[id(stands)] = stands, NumberValue(number.expression, stands.dtype)
            traced = _as_python_number(jnp.array(stands, copy=True))
            self.number_inputs[key] = number.expression, traced
        return self.number_inputs[key][1]

    def keep_state(self, table: Any, name: Any, value: Any) -> None:
        """Note that an optimizer's step reads a piece of its state."""
        place = Item(table, name)
        if not self.writes.is_written(place):
            self.reads.see(table)
            self.reads.place(place, value)

    def restore(self) -> None:
        """Put gradients, tape and replaced attributes back as they were before the trace."""
        for tensor, grad in self.grads.items():
            tensor._grad = grad
        for tensor, (edge, version, base) in self.edges.items():
            tensor._edge, tensor._edge_version, tensor._base = edge, version, base
        self.writes.undo()

    def give_up(self) -> None:
        """Take back what a failed trace has left."""
        self.begun.take_back()
        self.draws.take_back()

    def let_go(self) -> None:
        """Have JAX forget a failed trace: a constant's finalizer would keep it, and it the constant."""
        if self.level is not None and hasattr(self.level, "invalidate"):
            self.level.invalidate()

    # --- what the program depends on ------------------------------------------------------------------------------

    def guard(self, look: Callable[[], Any], what: str, parts: Callable[[], Any] | None = None) -> None:
        """Note that the program holds only while `look()` gives what it gives now, as it does while `parts()` are the same."""
        if all(look is not guard.look for guard in self.guards):
            self.guards.append(Guard(look, look(), what, parts))


def _has_gradient(tensor: Any, gradient: Any) -> bool:
    return tensor._grad is gradient


class Guard(NamedTuple):
    """What our own code has asked for: how to ask, the answer, and what is different where it is another.

    `parts()` gives objects that tell more quickly: while each stands where it stands, the answer is the same. They are
    (owner, name, object) of an attribute, or of an entry of a dict; without a name, (owner, None, how much it holds).
    """

    look: Callable[[], Any]
    seen: Any
    what: str
    parts: Callable[[], list[tuple[Any, Any, Any]]] | None = None


class NumberValue:
    """A program's input that is computed from Python's numbers at each call."""

    __slots__ = ("dtype", "expression")

    def __init__(self, expression: Any, dtype: np.dtype):
        self.expression: Any = expression
        self.dtype = dtype

    def __call__(self, given: Any) -> Any:
        made = np.asarray(self.expression.value(given))
        if made.dtype != self.dtype:  # a root of a negative number is complex; an int may need more than 64 bits
            raise OverflowError("the number is of another kind now")
        return made


def _as_python_number(value: Any) -> Any:
    """A traced value that promotes as a Python number does."""
    return _convert_element_type(value, weak_type=True)
