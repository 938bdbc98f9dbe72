"""Optimizers of several processes: one whose state is shared out, and one with averages; the others are not there yet."""

from typing import Any

from ...optim import Optimizer
from .. import _later
from .apply_optimizer_in_backward import (
    _apply_optimizer_in_backward as _apply_optimizer_in_backward,
)
from .apply_optimizer_in_backward import (
    _get_in_backward_optimizers as _get_in_backward_optimizers,
)
from .post_localSGD_optimizer import PostLocalSGDOptimizer
from .zero_redundancy_optimizer import ZeroRedundancyOptimizer

__all__ = ["DistributedOptimizer", "PostLocalSGDOptimizer", "ZeroRedundancyOptimizer"]


DistributedOptimizer: Any = _later.kind("DistributedOptimizer", __name__, Optimizer)
