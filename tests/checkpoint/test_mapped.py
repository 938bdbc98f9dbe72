"""Files that are mapped: what loading them takes of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import flambeau as fb


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak begins anew on Linux only")
def test_a_mapped_file_is_loaded_without_a_second_copy(tmp_path: Path) -> None:
    """Nothing is read until it is used with `assign=True`; otherwise the weights are in memory once."""
    size = 16 * 1024 * 1024 * 4
    fb.save({"weight": fb.ones(4096, 4096)}, tmp_path / "a.pth")
    with fb.device("meta"):
        layer = fb.nn.Linear(4096, 4096, bias=False)

    def grown(load: Callable[[], object]) -> int:
        fb.profiler.reset_peak_memory_stats()
        before = fb.profiler.memory_stats()["resident_bytes.all.current"]
        load()
        return fb.profiler.max_memory_resident() - before

    assert grown(lambda: layer.load_state_dict(fb.load(tmp_path / "a.pth", mmap=True), assign=True)) < size / 8
    own = fb.nn.Linear(4096, 4096, bias=False)
    assert grown(lambda: own.load_state_dict(fb.load(tmp_path / "a.pth", mmap=True))) < 1.25 * size
    assert layer(fb.ones(1, 4096))[0, 0].item() == own(fb.ones(1, 4096))[0, 0].item() == 4096
