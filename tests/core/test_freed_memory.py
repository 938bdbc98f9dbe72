"""Memory that was freed goes back to the system where much was taken for what runs once."""

from __future__ import annotations

import platform

import numpy as np
import pytest

import flambeau as fb
from flambeau.runtime import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize("grown", [0, 1 << 30])
def test_freed_memory_is_given_back(grown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = memory._resident
    monkeypatch.delenv("FLAMBEAU_MALLOC", raising=False)
    memory.keep_freed()
    del [np.ones(200 << 20, np.uint8)][0]
    told = iter([0, grown])
    monkeypatch.setattr(memory, "_resident", lambda: next(told))
    before = resident()
    assert memory.Growth().look() == bool(grown)
    after = resident()
    assert before is not None and after is not None
    assert (before - after > 190 << 20) == bool(grown)


def test_whose_runs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    for grown, expected in ((0, 2), (1 << 30, 4)):  # the first run of each program, all of one that needs much
        looks.clear()
        monkeypatch.setattr(memory, "_resident", lambda grown=grown: looks.append(1) or grown * len(looks))
        twice = fb.compile(lambda x: x * 2)
        assert [twice(fb.ones(2)).tolist() for _ in range(3)] == [[2.0, 2.0]] * 3
        assert len(looks) == expected


def test_uncompiled_steps_of_large_models(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(memory.Growth, "look", lambda self: looks.append(self))
    for size in (1 << 10, 1 << 20):
        param = fb.nn.Parameter(fb.zeros(size))
        param.grad = fb.zeros(size)
        optimizer = fb.optim.SGD([param], lr=0.1)
        optimizer.step()
    assert looks == [optimizer._growth]
