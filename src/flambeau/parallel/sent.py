"""What a step sends: the collectives that it runs between processes, or that are in its program on the devices of one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from ..core.array.devices import get_default_device, jax_devices
from ..processes import exchange, groups

Counts = dict[str, tuple[int, int]]  # by name: calls, bytes

_IN_PROGRAM = re.compile(
    r"= (\([^)]*\)|\S+) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
_ARRAY = re.compile(r"(pred|[a-z]+)(\d*)(?:[a-z]\w*)?\[([\d,]*)\]")


def of_step(step: Callable[[], Any]) -> Counts:
    """Run a step, and count. ValueError in one process for a step that is not one compiled function, or that has run before."""
    if groups.is_initialized() and groups.get_world_size() > 1:
        return _between_processes(step)
    return _in_programs(step)


def _between_processes(step: Callable[[], Any]) -> Counts:
    found: Counts = {}

    def watch(sent: exchange.Sent) -> None:
        _add(found, sent.name, sent.size)

    exchange.watchers.append(watch)
    try:
        step()
    finally:
        exchange.watchers.remove(watch)
    return found


def _add(found: Counts, name: str, size: int) -> None:
    calls, before = found.get(name, (0, 0))
    found[name] = calls + 1, before + size


def _in_programs(step: Callable[[], Any]) -> Counts:
    client = jax_devices(get_default_device().type)[0].client
    last: list[str] = []
    for _ in range(3):  # the second call's arguments may lie otherwise, as the first has left them
        before = {id(program) for program in client.live_executables()}
        step()
        new = [program.hlo_modules()[0] for program in client.live_executables() if id(program) not in before]
        if not new:
            break
        if any(module.name in _OF_OPERATORS for module in new if _IN_PROGRAM.search(module.to_string())):
            last = []
            break
        last = [module.to_string() for module in new]
    if not last:
        raise ValueError(
            "explain(step=): in one process, collectives are read from the step's program: give a function that flambeau.compile has "
            "made, and that was not called before"
        )
    found: Counts = {}
    for type_of_result, name in _IN_PROGRAM.findall(max(last, key=len)):
        _add(found, name.replace("-", "_"), _bytes(type_of_result))
    return found


_OF_OPERATORS = {"jit_flat_function", "jit_backward", "jit_inplace"}  # programs of single operators


def _bytes(text: str) -> int:
    """The bytes of XLA's arrays: `f32[16,8]{1,0}`, or several in parentheses."""
    return sum(
        math.prod(int(n) for n in lengths.split(",") if n) * max(int(bits or 8) // 8, 1)
        for _, bits, lengths in _ARRAY.findall(text)
    )
