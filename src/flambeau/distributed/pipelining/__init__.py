"""A model whose layers lie in several processes: refused by name. `parallelize_module` and `fully_shard` cut layers."""

from .. import _later

for _name in ("build_stage", "pipe_split", "pipeline"):
    globals()[_name] = _later.function(_name, __name__)
for _name in (
    "Pipe", "PipelineStage", "Schedule1F1B", "ScheduleDualPipeV", "ScheduleGPipe", "ScheduleInterleaved1F1B",
    "ScheduleInterleavedZeroBubble", "ScheduleLoopedBFS", "ScheduleZBVZeroBubble", "SplitPoint",
):  # fmt: skip
    globals()[_name] = _later.kind(_name, __name__)
