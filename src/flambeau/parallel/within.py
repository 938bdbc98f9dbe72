"""Ranks that are threads of this process: `in_process(function, devices=8)` runs a function in each, and gives their results."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..core.array.devices import device, get_default_device, jax_devices, set_default_device
from ..core.context.grad_mode import state as grad_state
from ..processes.groups import end_threads
from ..processes.within import World
from ..runtime.ranks import Rank, here, running

_GRACE = 5.0  # seconds in which the others come to an end by themselves, once one rank has failed


class _Ended(BaseException):
    """What ends a rank that computes on although another has failed."""


def in_process(function: Callable[..., Any], *args: Any, devices: int | Sequence[Any] | None = None) -> list[Any]:
    """Run `function(rank, *args)` in as many threads of this process as `devices` says (how many, or which; all by default): the results.

    Each is a rank, as a process that `flambeau launch` starts is one: `init_process_group()` joins them, what they send each other
    stays in memory, and each has its own groups, default device, default random generator, and RANK, WORLD_SIZE and LOCAL_RANK in
    `os.environ`. It works in notebooks, and the function need not be pickled. Compiled functions run uncompiled in them; tensors
    that are cut over ranks are refused. What one rank raises is raised here, and ends the others.
    """
    places = _places(devices)
    n = len(places)
    world = World(n)
    ranks = [Rank(number, n, world) for number in range(n)]
    results: list[Any] = [None] * n

    def work(rank: Rank) -> None:
        error: BaseException | None = None
        here.rank = rank
        grad_state.uncompiled = True
        set_default_device(places[rank.number])
        try:
            results[rank.number] = function(rank.number, *args)
        except SystemExit as left:
            error = left if left.code else None
        except BaseException as raised:
            error = raised
        end_threads()
        world.end(rank.number, error)

    threads = [threading.Thread(target=work, args=(rank,), name=f"rank {rank.number}", daemon=True) for rank in ranks]
    with running(ranks, _told):
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads) and world.failed is None:
                _join(threads, 0.2, world)
        except BaseException as error:  # Ctrl-C
            world.end(-1, error)
            raise
        finally:
            _end(threads, world)
    if world.failed is not None:
        number, found = world.failed
        found.add_note(f"(raised by rank {number} of {n}, a thread of this process)")
        raise found
    return results


def _places(devices: int | Sequence[Any] | None) -> list[device]:
    """The ranks' devices. ValueError if there are not so many; one processor takes any number."""
    if devices is not None and not isinstance(devices, int):
        return [device(place) for place in devices]
    kind = get_default_device().type
    if kind == "cpu" and jax_devices("cuda"):
        kind = "cuda"
    there = len(jax_devices(kind))
    n = there if devices is None else devices
    if n < 1 or (n > there and kind != "cpu"):
        raise ValueError(f"devices={devices}: there are {there} devices of the kind {kind}")
    return [device(kind) if kind == "cpu" else device(kind, i) for i in range(n)]


def _told(rank: Rank) -> dict[str, str]:
    """torchrun's variables for one rank."""
    number, n = str(rank.number), str(rank.n)
    return {
        "RANK": number, "LOCAL_RANK": number, "ROLE_RANK": number, "GROUP_RANK": "0", "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n,
        "ROLE_WORLD_SIZE": n, "GROUP_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
    }  # fmt: skip


def _join(threads: Sequence[threading.Thread], seconds: float, world: World) -> None:
    """Wait until all have ended, or one has raised, or the time is over."""
    until = time.monotonic() + seconds
    with world.changed:
        while len(world.ended) < len(threads) and world.failed is None and time.monotonic() < until:
            world.changed.wait(max(until - time.monotonic(), 0.0))
    for thread in threads:
        if len(world.ended) >= len(threads):
            thread.join()


def _end(threads: Sequence[threading.Thread], world: World) -> None:
    """Wait for the ranks, after a failure only so long; then have Python raise in them what ends them."""
    for raising in (False, True):
        until = time.monotonic() + _GRACE
        for thread in threads:
            if raising and thread.is_alive() and thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Ended))
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0.0))
