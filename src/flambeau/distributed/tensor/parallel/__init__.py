"""Layers cut among processes. Refused: it needs several."""

from ... import _later

__all__ = [
    "ColwiseParallel", "ParallelStyle", "PrepareModuleInput", "PrepareModuleInputOutput", "PrepareModuleOutput",
    "RowwiseParallel", "SequenceParallel", "loss_parallel", "parallelize_module",
]  # fmt: skip

ParallelStyle = _later.kind("ParallelStyle", __name__)
globals().update(
    {n: _later.kind(n, __name__, ParallelStyle) for n in __all__ if n[0].isupper() and n != "ParallelStyle"}
)
globals().update({n: _later.function(n, __name__) for n in __all__ if n[0].islower()})
