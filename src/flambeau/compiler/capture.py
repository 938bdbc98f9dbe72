"""Tracing: a Python function runs once, and what it computed, read and changed is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax

from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import Untraceable
from ..core.tensor import tree
from ..core.tensor.tensor import Tensor
from .arguments import Arguments, Conflict
from .conditions import Conditions, note_dependencies
from .findings import Findings
from .guards import frames
from .guards.shadow import Refused
from .inputs import Again, Inputs
from .joining import joined
from .overwriting import apart
from .plan import Computation, Plan
from .recorder import Recorder
from .surroundings import Surroundings


class Failed(Exception):
    """A trace that has failed: with which error, and what had been read until then (None: nothing is known)."""

    def __init__(self, error: Exception, reads: Any):
        super().__init__(error)
        self.error = error
        self.reads = reads

    def let_frames_go(self) -> None:
        """Have what the frames of the trace hold die now, rather than at the collector's next turn: its finalizers may be waited for."""
        error: BaseException | None
        for error in (self, self.error):
            while error is not None:
                error.__traceback__ = None
                error = error.__context__


class Traced(NamedTuple):
    """What a program is made from."""

    plan: Plan
    computation: Computation
    conditions: Conditions
    once: bool  # whether it holds for one call only
    give_up: Callable[[], None]  # takes back what the trace has begun, if the first run fails


class Capture:
    """One trace of a function, for one signature."""

    def __init__(
        self,
        function: Callable[..., Any],
        leaves: list[Any],
        treedef: Any,
        bound: frozenset[int],
        inputs: Inputs,
        apart: bool = False,
    ):
        if not frames.readable():
            raise Failed(
                Untraceable("the frames of this Python interpreter can't be read, so nothing could be watched"), None
            )
        self.recorder: Recorder = Recorder()
        self.inputs = inputs
        self.arguments: Arguments = Arguments(leaves, bound, apart)
        self.findings: Findings | None = None
        self.recorder.demands.root = Capture._trace.__code__
        with self._recording(bound):
            self.jaxpr: Any = jax.make_jaxpr(lambda *arrays: self._trace(function, leaves, treedef, arrays))(
                *self.arguments.arrays()
            )

    def _trace(self, function: Callable[..., Any], leaves: list[Any], treedef: Any, arrays: Any) -> list[Any]:
        recorder = self.recorder
        stood = iter(self.arguments.stand_in(arrays, recorder))
        grad_state.trace = recorder
        recorder.level = jax.numpy.zeros(())._trace  # type: ignore[attr-defined]
        full = [
            next(stood) if isinstance(leaf, Tensor) else self.inputs.leaf(i, leaf, recorder)
            for i, leaf in enumerate(leaves)
        ]
        args, kwargs = tree.unflatten(full, treedef)
        recorder.watcher.begin(function, full, (args, kwargs))
        surroundings = Surroundings.now()
        result = _run(recorder, function, args, kwargs)
        surroundings.check()
        found = self.findings = Findings(recorder, self.arguments, self.inputs, result)
        return found.outputs.things

    @contextmanager
    def _recording(self, bound: frozenset[int]) -> Iterator[None]:
        """For the time of a trace. Whatever it has changed is put back at its end; Failed and the like if it fails."""
        recorder, inputs = self.recorder, self.inputs
        watcher = recorder.watcher
        before = grad_state.trace, Surroundings.now()
        grad_state.watchers = ()  # a checkpointed part around sees the program's node, and none of the trace
        inputs.install(recorder.reads)
        try:
            yield
        except BaseException as error:
            self._end(*before)
            recorder.writes.undo_unnoticed(recorder.begun.tables())
            recorder.give_up()
            inputs.restore()
            watcher.end()
            recorder.let_go()
            if watcher.refused is not None and isinstance(error, (Refused, Exception)):
                own = watcher.refused.__traceback__  # from the line that needed a value
                error = watcher.refused.with_traceback(own or error.__traceback__)
            if watcher.taken - bound:  # what it found may have been wrong
                raise Conflict(frozenset(watcher.taken | bound)) from None
            if isinstance(error, (Again, Conflict)) or not isinstance(error, Exception):
                raise
            recorder.reads.finish({})
            raise Failed(error, None if watcher.weak else recorder.reads) from None
        self._end(*before)
        inputs.restore()

    def _end(self, trace: Any, surroundings: Surroundings) -> None:
        grad_state.trace = trace
        surroundings.put_back()
        self.recorder.restore()
        self.arguments.put_back()

    def finish(self) -> Traced:
        """What the trace has found, and what it holds for."""
        recorder, arguments, found = self.recorder, self.arguments, self.findings
        assert found is not None
        try:
            note_dependencies(recorder, self.inputs.places.values(), found.moving)
            found.note_survivors()
        finally:
            recorder.watcher.end()
        plan = found.plan()
        conditions = Conditions(recorder, arguments, found.moving, plan)
        return Traced(plan, found.computation(apart(joined(self.jaxpr))), conditions, found.once, recorder.give_up)


def _run(recorder: Recorder, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run the function under the watcher."""
    watcher = recorder.watcher
    watcher.start()
    try:
        result = function(*args, **kwargs)
        watcher.look_for_waiting()
        if recorder.missed is not None:
            raise recorder.missed
    finally:
        watcher.unwinding.end()
        watcher.stop()
    if watcher.refused is not None:
        raise watcher.refused
    return result
