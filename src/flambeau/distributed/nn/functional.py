"""Collectives that are part of the graph of gradients."""

from ...processes.differentiable import (
    _all_gather_base as _all_gather_base,
)
from ...processes.differentiable import (
    all_gather,
    all_reduce,
    all_to_all,
    all_to_all_single,
    broadcast,
    gather,
    reduce,
    reduce_scatter,
    scatter,
)
from ...processes.groups import ReduceOp

__all__ = [
    "ReduceOp", "all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce",
    "reduce_scatter", "scatter",
]  # fmt: skip
