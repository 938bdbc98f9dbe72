"""What a traced function reads and writes: the recorder that `compile` puts in place of the storages.

While a thread traces (`grad_mode.state.trace` is a `Recorder`), reads of storages that hold arrays give traced values
that stand for them, and writes go to an overlay: the storages themselves, gradients and tape are left as they were, so a
trace that fails leaves nothing half-done. What was read and written becomes inputs and outputs of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .grad_mode import state


class HostValue:
    """A program's input that the host computes anew at each call; the first call takes what the trace was given."""

    __slots__ = ("draw", "pending")

    def __init__(self, draw: Callable[[], Any], pending: Any):
        self.draw = draw
        self.pending = pending

    def __call__(self) -> Any:
        if self.pending is not None:
            value, self.pending = self.pending, None
            return value
        return self.draw()


class Recorder:
    """The overlay of one trace.

    `sources` are the inputs that were found, by the identity of the array that stood for them during the trace: a
    tensor whose storage is read at each call, or a `HostValue`.
    """

    def __init__(self) -> None:
        self.sources: dict[int, tuple[Any, Any]] = {}  # id(array) -> (array, Tensor or callable)
        self.lifted: dict[int, Any] = {}  # id(array) -> the traced value that stands for it
        self.values: dict[Any, Any] = {}  # storage -> its value at this point of the trace
        self.owners: dict[Any, Any] = {}  # storage -> the tensor through which it was found
        self.written: dict[Any, None] = {}  # storages, in the order of their first write
        self.aliases: list[tuple[Any, Any]] = []  # pairs of tensors that held one array
        self.grads: dict[Any, Any] = {}  # tensor -> its `.grad` before the trace
        self.grads_read: dict[Any, bool] = {}  # tensor -> whether its `.grad` was None when first read
        self.edges: dict[Any, Any] = {}  # tensor -> its place on the tape before the trace
        self.guards: list[tuple[Callable[[], Any], Any, str]] = []
        self.modules: dict[Any, None] = {}

    # --- values -------------------------------------------------------------------------------------------------

    def read(self, tensor: Any) -> Any:
        """The value of a tensor's whole storage."""
        storage = tensor._storage
        if storage in self.values:
            return self.values[storage]
        value = storage.value
        if isinstance(value, jax.core.Tracer):
            return value
        known = self.sources.get(id(value))
        if known is not None and not callable(known[1]):
            self.aliases.append((known[1], tensor))
        elif known is None:
            self.sources[id(value)] = (value, tensor)
        self.owners[storage] = tensor
        lifted = self.lifted.get(id(value))
        if lifted is None:  # a traced value, as all inside the trace are
            lifted = self.lifted[id(value)] = jnp.array(value, copy=True)
        self.values[storage] = lifted
        return lifted

    def write(self, storage: Any, value: Any, tensor: Any) -> None:
        """Replace a storage's value within the trace."""
        if storage not in self.values and isinstance(storage.value, jax.core.Tracer):
            storage.value = value
            storage.version += 1
            return
        if storage not in self.values:
            self.read(tensor)  # so that it is known as an input, even if it is wholly overwritten
        self.values[storage] = value
        self.written[storage] = None

    def host(self, draw: Callable[[], Any]) -> Any:
        """A value that is computed on the host at every call (a random key, a learning rate), as an input."""
        with jax.ensure_compile_time_eval():
            value = jax.device_put(np.asarray(draw()))
        self.sources[id(value)] = (value, HostValue(draw, value))
        return jnp.array(value, copy=True)

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

    def restore(self) -> dict[Any, Any]:
        """Put gradients and tape back as they were; returns the gradients as the trace left them."""
        final = {tensor: tensor._grad for tensor in self.grads}
        for tensor, grad in self.grads.items():
            tensor._grad = grad
        for tensor, (edge, version, base) in self.edges.items():
            tensor._edge, tensor._edge_version, tensor._base = edge, version, base
        return final

    # --- what the program depends on ------------------------------------------------------------------------------

    def guard(self, look: Callable[[], Any], what: str) -> None:
        """Note that the program holds only while `look()` gives what it gives now."""
        self.guards.append((look, look(), what))


def recorder() -> Recorder | None:
    """The recorder of the trace that this thread is in, if any."""
    return state.trace


def host_value(draw: Callable[[], Any]) -> Any:
    """A host value for a program: `draw()` now, or within a trace an input that is drawn anew at each call."""
    trace = state.trace
    return draw() if trace is None else trace.host(draw)


class Structure:
    """Counts what may change the programs of compiled functions: attribute writes on modules, hooks, `requires_grad_`."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


structure = Structure()
