"""CUDA graphs: XLA makes its own (command buffers) for a compiled step; recording one by hand is refused."""

from __future__ import annotations

from typing import Any

from ._devices import required

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables"]


_CURE = "compile the step with torch.compile (XLA records its programs as CUDA graphs by itself)"


def _refuse(name: str) -> None:
    required()
    raise NotImplementedError(f"torch.cuda.{name}: operators can't be recorded by hand here; {_CURE}")


class CUDAGraph:
    """Refused, by its name in PyTorch's own builds without CUDA."""

    def __init__(self, keep_graph: bool = False):
        raise RuntimeError(f"Tried to instantiate dummy base class CUDAGraph: {_CURE}")


class graph:
    """Refused: a context in which work is recorded."""

    def __init__(self, cuda_graph: Any, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"):
        _refuse("graph")


def make_graphed_callables(callables: Any, sample_args: Any, *args: Any, **options: Any) -> Any:
    """Refused: compile them instead."""
    _refuse("make_graphed_callables")


def graph_pool_handle() -> Any:
    """Refused: there are no graphs to share memory."""
    _refuse("graph_pool_handle")


def is_current_stream_capturing() -> bool:
    """Never: nothing can be recorded by hand."""
    return False
