"""A model whose layers lie in several processes, one after the other: stages, and the order in which they work on micro-batches.

`PipelineStage` with `ScheduleGPipe` or `Schedule1F1B`, with several stages in a process `ScheduleInterleaved1F1B` or
`ScheduleLoopedBFS`, and with backward passes in two halves `ScheduleInterleavedZeroBubble`, `ScheduleZBVZeroBubble` and
`ScheduleDualPipeV`. What finds the stages of a model by itself (`pipeline`, `SplitPoint`) is refused by name.
"""

import enum

from .. import _later
from .schedules import (
    Schedule1F1B,
    ScheduleDualPipeV,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleLoopedBFS,
    ScheduleZBVZeroBubble,
)
from .stage import PipelineStage

for _name in ("build_stage", "pipe_split", "pipeline"):
    globals()[_name] = _later.function(_name, __name__)
Pipe = _later.kind("Pipe", __name__)


class SplitPoint(enum.Enum):
    """Where `pipeline` would cut a model: before or after a module. Named here for scripts; `pipeline` is refused."""

    BEGINNING = 1
    END = 2


__all__ = [
    "PipelineStage", "Schedule1F1B", "ScheduleDualPipeV", "ScheduleGPipe", "ScheduleInterleaved1F1B", "ScheduleInterleavedZeroBubble",
    "ScheduleLoopedBFS", "ScheduleZBVZeroBubble",
]  # fmt: skip
