"""Whether the process has room for further programs: Linux gives one so many memory maps (65,530 unless it is set otherwise).

A program of XLA's takes three for each piece that LLVM made of it: some six an operator, up to a few hundred a compiled step.
Where there are none left, LLVM can't compile and the process ends. Programs that were dropped may still be there, in cycles that Python
looks for ever more seldom as a process grows.

So the maps are counted now and then, and above half of what there is, programs are let go in steps, until there is room: those that
nothing leads to, those that were not called for lately, all. What is needed again comes from the disk or is compiled again.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

import jax

_SOONEST = 128  # programs from one count to the next: a count takes some microseconds a map
_LARGEST = 256  # maps of a large program

tracing = False  # while a function is traced: it is told by objects' ages what the function has made, so that nothing is collected
_keepers: list[Callable[[bool], Any]] = []


def keeper(let_go: Callable[[bool], Any]) -> Callable[[bool], Any]:
    """Have `let_go(everything)` called when there is no room: of what was not called for since the last time, or of everything."""
    _keepers.append(let_go)
    return let_go


@functools.cache
def most() -> int | None:
    """How many memory maps the process may have; None where there is no such bound."""
    try:
        with open("/proc/sys/vm/max_map_count") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def taken() -> int:
    """How many it has."""
    with open("/proc/self/maps", "rb", buffering=0) as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 16), b""))


def make() -> int | None:
    """See that there is room. After how many further programs to look again; None for never."""
    bound = most()
    if bound is None:
        return None
    if tracing:
        return 1
    steps: list[Callable[[], Any]] = [lambda: None, lambda: _let_go(False), lambda: _let_go(True), jax.clear_caches]
    count = taken()
    if count > bound // 2:
        for step in steps:
            step()
            gc.collect()
            count = taken()
            if count <= bound // 3:
                break
    return max(_SOONEST, (bound - count) // _LARGEST)


def _let_go(everything: bool) -> None:
    for let_go in _keepers:
        let_go(everything)
