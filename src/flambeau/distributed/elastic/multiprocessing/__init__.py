"""What the ranks of a launch say of their ends, and where their lines go."""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping
from typing import Any

from ....runtime.absent import refuse

__all__ = ["SignalException", "Std", "to_map"]


class Std(enum.IntFlag):
    """Which of a process's two streams."""

    NONE = 0
    OUT = 1
    ERR = 2
    ALL = OUT | ERR

    @classmethod
    def from_str(cls, vm: str) -> Any:
        """`"3"`, or `"0:1,1:3"` for single ranks. ValueError for other forms."""
        if vm in ("0", "1", "2", "3"):
            return cls(int(vm))
        pairs = [pair.split(":") for pair in vm.split(",")]
        if not all(len(pair) == 2 and pair[1] in ("0", "1", "2", "3") and pair[0].isdigit() for pair in pairs):
            raise ValueError(f"{vm}: 0 to 3 was expected, or <rank>:<0 to 3> for each of some ranks, with commas")
        return {int(rank): cls(int(value)) for rank, value in pairs}


def to_map(val_or_map: Std | Mapping[int, Std], local_world_size: int) -> dict[int, Std]:
    """The same for every rank; of a dict, `Std.NONE` for the ranks that are not in it."""
    if isinstance(val_or_map, Std):
        return dict.fromkeys(range(local_world_size), val_or_map)
    return {rank: val_or_map.get(rank, Std.NONE) for rank in range(local_world_size)}


class SignalException(Exception):
    """A launcher was told to end; `sigval` is the signal."""

    def __init__(self, msg: str, sigval: signal.Signals) -> None:
        super().__init__(msg)
        self.sigval = sigval


refuse(
    globals(),
    "torchrun's own parts are not here; flambeau launch starts processes, watches and ends them",
    "DefaultLogsSpecs LogsDest LogsSpecs MultiprocessContext PContext ProcessFailure RunProcsResult SubprocessContext start_processes",
)
