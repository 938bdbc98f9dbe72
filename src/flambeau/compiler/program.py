"""One traced program of a compiled function: its plan, what it holds for, and the XLA program that runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from . import quick
from .batches import Entry, PaddedBuilder
from .call import Call
from .capture import Traced
from .executable import Builder
from .runs import Runs


class TracedProgram:
    """A function traced for one signature.

    The XLA program takes the arguments' arrays and then the state that the trace found (tensors' storages, values from
    the host), and gives the results, the new values of what was written, and the new gradients. `call(tensors, given, call)` is
    what calls it, `broken_by(tensors, given)` says why it must not be called.
    """

    def __init__(self, traced: Traced, reason: str, name: str, entry: Entry | None = None, whole: bool = False):
        self.reason = reason
        self.entry = entry  # in a program of XLA for several sizes
        self.plan: Any = traced.plan
        self.conditions: Any = traced.conditions
        self.broken_by: Callable[..., Any] = self.conditions.broken_by
        if entry is None:
            self.builder: Builder = Builder(traced.plan, traced.computation, name, whole)
        else:
            self.builder = PaddedBuilder(traced.plan, traced.computation, name, entry, whole)
        conditions = traced.conditions
        begun = (lambda: conditions.end("an optimizer has begun its state")) if traced.once else None
        executable = self.builder.build(packed=not (traced.plan.tape.metas or traced.once))
        self.runs: Runs = Runs(self.plan, executable, begun, traced.give_up)
        self.call: Callable[..., Any] = self._write_call()
        self.fits: Callable[[Any], bool] = _unknown

    def _write_call(self) -> Callable[..., Any]:
        own = weakref.ref(self)  # whoever calls it has it
        return Call(self.plan, self.runs, self.builder.backward, lambda: own().unpack()).write()  # type: ignore[union-attr]

    def quick(self, args: Any, modes: tuple[Any, ...]) -> TracedProgram | None:
        """The program itself, with `fits(args)`, if it is one for arguments that can be told by a quick look."""
        if self.conditions.looks_at_attributes or not quick.takes(args):
            return None
        if self.fits is _unknown:
            self.fits = quick.look(args, modes, self.conditions)
        return self

    def unpack(self) -> Callable[..., Any]:
        """Do without packing from now on."""
        self.runs.use(self.builder.build(packed=False))
        self.call = self._write_call()
        return self.call


def _unknown(args: Any) -> bool:
    """The quick look before it is written."""
    return False
