"""Operators hold a bounded number of programs, and what is in use comes through the sweeps."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import jax
import pytest

import flambeau as fb
from flambeau.core.array import first_calls, programs, room


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bounds so small that a test reaches them."""
    for function in list(programs._functions):
        function.clear_cache()
    programs.forget()
    monkeypatch.setattr(first_calls, "SERVES", False)  # without programs that NumPy spares
    monkeypatch.setattr(programs, "ROUND", 16)
    monkeypatch.setattr(programs, "SHAPES", 12)
    monkeypatch.setattr(programs, "MOST", 60)
    monkeypatch.setattr(programs, "_compiled", 0)
    yield
    programs.forget()


def _most() -> int:
    return programs.MOST + 2 * programs.ROUND


def test_shapes(small: None) -> None:
    held = []
    for n in range(1, 80):
        assert fb.ones(n).mul(3.0).tolist() == [3.0] * n
        held.append(programs.held())
    assert max(held) <= programs.SHAPES + 2 * programs.ROUND


def test_static_values(small: None) -> None:
    x = fb.arange(200)
    for n in range(1, 80):
        assert x.roll(n)[0].item() == (200 - n) % 200
        assert len(fb.roll.operator.programs) + len(fb.roll.operator.programs.older) <= 2 * programs.ROUND
    assert programs.held() <= _most()


def test_what_is_in_use_stays(small: None) -> None:
    """A program that is called for again and again is not compiled again while others come and go."""
    x = fb.ones(7)
    flipped = fb.flip(x, (0,))
    program = next(iter(fb.flip.operator.programs.values()))
    for n in range(1, 60):
        fb.arange(200).roll(n)
        assert fb.flip(x, (0,)).tolist() == flipped.tolist()
        assert program in fb.flip.operator.programs.values()
        assert program.run._cache_size() == 1


def test_what_nobody_uses_is_let_go(small: None) -> None:
    fb.flip(fb.ones(7), (0,))
    for n in range(1, 60):
        fb.arange(200).roll(n)
    assert not fb.flip.operator.programs and not fb.flip.operator.programs.older


def test_the_hard_bound(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if all of them are used in every round."""
    monkeypatch.setattr(programs, "ROUND", 4)
    monkeypatch.setattr(programs, "MOST", 8)
    x = fb.arange(50)
    for n in range(1, 12):
        for m in range(1, n + 1):
            x.roll(m)
        gc.collect()
        assert programs.held() <= 8 + 8 + 4


def test_a_compiled_step_stays(small: None) -> None:
    step = fb.compile(lambda x: (x * 2 + 1).sum())
    x = fb.ones(3)
    step(x)
    for n in range(1, 60):
        fb.arange(200).roll(n)
    events: list[str] = []

    def listen(event: str, seconds: float, **rest: object) -> None:
        if event.endswith("backend_compile_duration"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    assert step(x).item() == 9
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not events


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory maps are counted and bounded on Linux")


@on_linux
@pytest.mark.parametrize("dropped", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_there_is_always_room_for_programs(monkeypatch: pytest.MonkeyPatch, dropped: bool) -> None:
    """Compiled functions that are dropped, and that are all held, in a process that may have a few memory maps more than it has."""
    gc.collect()
    begun = room.taken()
    monkeypatch.setattr(room, "most", lambda: 2 * (begun + 30))
    monkeypatch.setattr(room, "_SOONEST", 4)
    monkeypatch.setattr(room, "_LARGEST", 10**6)
    monkeypatch.setattr(programs, "_until_looked", 4)
    x, functions, most = fb.ones(3), [], 0
    gc.disable()
    try:
        for n in range(24):
            function = fb.compile(lambda x, n=n: (x * n).sum())
            assert function(x).item() == 3 * n
            function.itself = function  # which only the collector finds
            functions.append(function)
            if dropped:
                functions.clear()
            most = max(most, room.taken())
    finally:
        gc.enable()
    assert most < begun + 30 + 4 * 10, most - begun
    for n, function in enumerate(functions):
        assert function(x).item() == 3 * n


def test_what_is_called_for_stays_longest() -> None:
    seldom, often = (fb.compile(lambda x, k=k: x * k + 1) for k in (2, 3))
    x = fb.ones(5)
    for function in (seldom, often, often):
        function(x)
    room._let_go(False)
    often(x)
    room._let_go(False)
    assert seldom(x).tolist() == [3.0] * 5
    assert often(x).tolist() == [4.0] * 5
    assert (seldom.traces, often.traces) == (2, 1)


@pytest.mark.slow
def test_memory_over_thousands_of_shapes() -> None:
    def resident() -> float:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    sizes = []
    for n in range(1, 2001):
        fb.ones(n).mul(3.0)
        if n % 500 == 0:
            sizes.append(resident())
    assert sizes[-1] - sizes[0] < 500, sizes  # without a bound: 2,200 MiB
