"""Measures what a thread runs: operators, nodes of the backward pass, compiled programs and named ranges.

Nothing is measured where programs are traced. JAX computes in the background: each result is waited for before its event
ends, so that times are those of the computation, and the program runs more slowly than it does unobserved.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from ..compiler.compiled import Compiled
from ..core.context.grad_mode import state
from ..core.dispatch.multiply_adds import of_backward, of_call
from ..core.dispatch.overloads import name_of_call
from ..core.tape.nodes import OperatorNode
from ..core.tensor.tensor import Tensor
from ..utils.module_tracker import ModuleTracker
from .profiler_util import EventList, FunctionEvent

_HERE = str(Path(__file__).parents[1])
_ELEMENTWISE = frozenset({"add", "mul", "sub", "div", "true_divide"})


class _Recorders(threading.local):
    active: tuple[Recorder, ...] = ()


recorders = _Recorders()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _memory(tensor: Tensor) -> Any:
    return getattr(getattr(tensor, "_storage", None), "value", None)


def wait(arrays: Any) -> None:
    """Until these arrays are computed."""
    for array in arrays:
        if isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer) and not array.is_deleted():
            array.block_until_ready()


def _described(value: Any) -> tuple[Any, str]:
    """An argument's shape and type, as a trace shows them."""
    if isinstance(value, Tensor):
        return list(value.shape), str(value.dtype).removeprefix("torch.")
    if isinstance(value, list | tuple) and value and all(isinstance(v, Tensor) for v in value):
        return [list(v.shape) for v in value], "TensorList"
    return [], "Scalar" if isinstance(value, bool | int | float | complex) else ""


def _stack() -> list[str]:
    """The frames of the program outside this package, the innermost first."""
    frame: Any = sys._getframe(2)
    found = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_HERE) and "importlib" not in code.co_filename:
            found.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back
    return found


class Recorder:
    """One measurement, from `start` to `stop`, of the thread that started it."""

    def __init__(
        self,
        shapes: bool = False,
        memory: bool = False,
        stack: bool = False,
        flops: bool = False,
        modules: bool = False,
    ):
        self.shapes, self.memory, self.stack, self.flops, self.modules = shapes, memory, stack, flops, modules
        self.events: list[FunctionEvent] = []
        self.open: list[FunctionEvent] = []
        self.paused = False
        self._known_flops: dict[Any, int] = {}

    def start(self) -> None:
        """Begin."""
        self.began = time.time_ns()
        self._clock = time.perf_counter_ns()
        self.tracker = ModuleTracker()
        self.tracker.__enter__()
        self._outer, self._outer_node = state.observer, state.node_observer
        state.observer, state.node_observer = self._call, self._node
        recorders.active = (*recorders.active, self)

    def stop(self) -> EventList:
        """The events, in the order in which they began."""
        state.observer, state.node_observer = self._outer, self._outer_node
        self.tracker.__exit__()
        recorders.active = tuple(r for r in recorders.active if r is not self)
        while self.open:
            self.end(self.open[-1])
        return EventList(self.events, profile_memory=self.memory, with_flops=self.flops, with_modules=self.modules)

    def _now(self) -> float:
        return (time.perf_counter_ns() - self._clock) / 1000

    def begin(self, name: str, **about: Any) -> FunctionEvent:
        """Open an event within those that are open."""
        event = FunctionEvent(
            len(self.events),
            name,
            threading.get_native_id(),
            0.0,
            0.0,
            stack=_stack() if self.stack else None,
            module=self.tracker.path,
            **about,
        )
        if self.open:
            event.set_cpu_parent(self.open[-1])
            self.open[-1].append_cpu_child(event)
        self.events.append(event)
        self.open.append(event)
        event.time_range.start = event.time_range.end = self._now()
        return event

    def end(self, event: FunctionEvent) -> None:
        """Close an event, and those within it that are still open."""
        now = self._now()
        while self.open:
            last = self.open.pop()
            last.time_range.end = now
            if last is event:
                break

    # --- what the dispatch and the engine call ------------------------------------------------------------------------

    def _call(self, call: Any, op: Any, args: Any, kwargs: Any) -> Any:
        def run() -> Any:
            return call(*args, **kwargs) if self._outer is None else self._outer(call, op, args, kwargs)

        if self.paused or state.trace is not None or state.transforms is not None:
            return run()
        if isinstance(call, Compiled):
            name = f"CompiledFunction: {getattr(call.function, '__qualname__', type(call.function).__name__)}"
        else:
            name = name_of_call(op, call)
        about: dict[str, Any] = {"is_async": getattr(call, "shown_async", False)}
        if self.shapes:
            described = [_described(value) for value in (*args, *kwargs.values())]
            about.update(input_shapes=[s for s, _ in described], input_dtypes=[t for _, t in described])
        last = self.open[-1] if self.open else None
        if op is not None and last is not None and last.name == name and last.composite:
            event, last.composite = last, False  # a function around the operator of its name: one event
            made = run()
            wait(map(_memory, _tensors(made)))
        else:
            event = self.begin(name, **about)
            event.composite = op is None
            try:
                made = run()
                wait(map(_memory, _tensors(made)))
            finally:
                self.end(event)
        if self.memory and op is not None:
            event.own_memory_usage = self._bytes(made, args, kwargs)
        if self.flops and op is not None:
            event.flops = self._flops_of(op, call, args, kwargs, made)
        edge = next((t._edge for t in _tensors(made) if t._edge is not None), None)
        if edge is not None:
            event.sequence_nr = edge[0].order
        return made

    def _node(self, node: Any, run: Callable[[], Any]) -> Any:
        def go() -> Any:
            return run() if self._outer_node is None else self._outer_node(node, run)

        if self.paused or state.trace is not None or state.transforms is not None:
            return go()
        recorded = self.tracker._recorded.get(node)
        before = self.tracker.path
        self.tracker.path = recorded[1] if recorded else before
        event = self.begin(node.name(), scope=1, sequence_nr=node.order)
        flops = 0
        try:
            if self.flops and isinstance(node, OperatorNode):
                flops = 2 * self._unobserved(of_backward, node)
                event.time_range.start = self._now()
            made = go()
            wait(value[0] for value in made if value is not None)
        finally:
            self.end(event)
            self.tracker.path = before
        event.flops = flops
        if self.memory:
            event.own_memory_usage = sum(value[0].nbytes for value in made if value is not None)
        return made

    # --- how much -----------------------------------------------------------------------------------------------------

    def _bytes(self, made: Any, args: Any, kwargs: Any) -> int:
        held = {id(t._storage) for t in _tensors((args, kwargs)) if hasattr(t, "_storage")}
        new = {id(t._storage): t for t in _tensors(made) if hasattr(t, "_storage") and id(t._storage) not in held}
        return sum(getattr(_memory(t), "nbytes", 0) for t in new.values())

    def _flops_of(self, op: Any, call: Any, args: Any, kwargs: Any, made: Any) -> int:
        name = getattr(op, "name", "")
        if name in _ELEMENTWISE:
            return made.numel() if isinstance(made, Tensor) else 0
        if not hasattr(op, "signature"):
            return 0  # a view or a factory
        key = (name, str([_described(a) for a in args]), str({k: _described(v) for k, v in kwargs.items()}))
        found = self._known_flops.get(key)
        if found is None:
            found = self._known_flops[key] = 2 * self._unobserved(of_call, call, *args, **kwargs)
        return found

    @staticmethod
    def _unobserved(function: Callable[..., int], *args: Any, **kwargs: Any) -> int:
        before = state.observer, state.node_observer, state.watchers
        state.observer, state.node_observer, state.watchers = None, None, ()
        try:
            return function(*args, **kwargs)
        except Exception:
            return 0  # what can't be traced by its shapes has no products either
        finally:
            state.observer, state.node_observer, state.watchers = before
