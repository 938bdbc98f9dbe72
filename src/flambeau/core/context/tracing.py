"""What a traced function reads and writes: the recorder that `compile` puts in place of the storages.

While a thread traces (`grad_mode.state.trace` is a `Recorder`), reads of storages that hold arrays give traced values
that stand for them, and writes go to an overlay: the storages themselves, gradients and tape are left as they were, so a
trace that fails leaves nothing half-done. What was read and written becomes inputs and outputs of the program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from .grad_mode import state

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
        self.draw: Callable[..., Any] = draw
        self.pending: Any = pending
        self.last: Any = None
        self.placed: Any = None

    def __call__(self, given: Any = None) -> Any:
        if self.pending is not None:
            value = self.pending
            self.pending = None
            return value
        value = self.draw()
        if value is not self.last:
            self.last, self.placed = value, None
            return value
        if self.placed is None:
            self.placed = jax.device_put(value)
        return self.placed


class NumberedDraw(HostValue):
    """One that depends on numbers which are inputs of the program: `draw(number, ...)`."""

    __slots__ = ("numbers",)

    def __init__(self, draw: Callable[..., Any], pending: Any, numbers: tuple[Any, ...]):
        super().__init__(draw, pending)
        self.numbers: tuple[Any, ...] = numbers

    def __call__(self, given: Any = None) -> Any:
        if self.pending is not None:
            value = self.pending
            self.pending: Any = None
            return value
        return self.draw(*[number.value(given) for number in self.numbers])


class Refusal(NamedTuple):
    """The error that a program raises for a value that an operator refuses."""

    error: Callable[[int], Exception]
    path: tuple[Callable[[Exception], None], ...]  # what the modules that were being called add to it, outermost first

    def error_of(self, value: int) -> Exception:
        error = self.error(value)
        for locate in reversed(self.path):
            locate(error)
        return error


class Demand(NamedTuple):
    """What an operator refuses in a traced program: two traced scalars, whether it is there and the value to tell."""

    bad: Any
    value: Any
    refusal: Refusal
    draws: int  # how many of the program's random draws come before it


class Untraceable(RuntimeError):
    """Something that a compiled function cannot do at each call, with the reason and what to do."""


# What JAX raises, and what we raise too, where values are needed that only a running program has
JAX_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
NEEDS_VALUES = (Untraceable, *JAX_NEEDS_VALUES)


def refuse_in_trace(what: str) -> None:
    """End the trace before something that each call would have to do (files, draws that are looked at)."""
    if state.trace is not None:
        raise Untraceable(f"it {what}: do that outside, or leave it as it is")


def recorder() -> Any:
    """The recorder of the trace that this thread is in, if any."""
    return state.trace


def is_traced() -> bool:
    """Whether this thread is in a trace or a transform, where values may not be there to look at."""
    return state.trace is not None or bool(state.transforms)


def host_value(draw: Callable[..., Any], *numbers: Any) -> Any:
    """A host value for a program: `draw()` now, or within a trace an input that is drawn anew at each call.

    `numbers` are inputs of the program with which it is drawn: `draw(*numbers)`.
    """
    transform = state.transforms
    if numbers:
        if transform or state.trace is None:
            return host_value(functools.partial(draw, *[number.settle() for number in numbers]))
        return state.trace.draws.host(draw, numbers)
    return recorded_value(draw) if not transform else transform.host_value(draw)


def recorded_value(draw: Callable[[], Any]) -> Any:
    """The same for all samples, where a function is mapped over them."""
    trace = state.trace
    return draw() if trace is None else trace.draws.host(draw)


class Structure:
    """Counts what may change the programs of compiled functions: attribute writes on modules, hooks, `requires_grad_`.

    `replaced` counts functions of ours that were replaced: they are looked up where no program watches (`version` counts them too).
    """

    __slots__ = ("replaced", "version")

    def __init__(self) -> None:
        self.version: int = 0
        self.replaced: int = 0


structure: Structure = Structure()
