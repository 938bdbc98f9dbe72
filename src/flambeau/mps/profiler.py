"""Traces of Apple's GPUs: there is none here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..runtime.absent import answer, names, placed, refusal

if not TYPE_CHECKING:  # type checkers take every name
    __all__ = "is_capturing_metal is_metal_capture_enabled metal_capture profile start stop".split()

globals().update(
    placed(
        {
            **names(answer(False), "is_capturing_metal is_metal_capture_enabled"),
            **names(refusal(RuntimeError, "Cannot execute profilerStartTrace() without MPS backend."), "start"),
            **names(refusal(RuntimeError, "Cannot execute profilerStopTrace() without MPS backend."), "stop"),
        },
        __name__,
    )
)


@contextlib.contextmanager
def profile(mode: str = "interval", wait_until_completed: bool = False) -> Iterator[None]:
    """A trace of what is inside. RuntimeError: there is no such device."""
    globals()["start"](mode, wait_until_completed)
    yield


@contextlib.contextmanager
def metal_capture(fname: str) -> Iterator[None]:
    """A capture of what is inside. RuntimeError: there is no such device."""
    raise RuntimeError(f"torch.mps.profiler.metal_capture({fname!r}): there is no MPS backend")
    yield
