"""Optimizers of several processes: one whose state is shared out, and one with averages; the others are not there yet."""

from typing import Any

from ...optim import Optimizer
from .. import _later
from .post_localSGD_optimizer import PostLocalSGDOptimizer
from .zero_redundancy_optimizer import ZeroRedundancyOptimizer

__all__ = ["DistributedOptimizer", "PostLocalSGDOptimizer", "ZeroRedundancyOptimizer"]


DistributedOptimizer: Any = _later.kind("DistributedOptimizer", __name__, Optimizer)
