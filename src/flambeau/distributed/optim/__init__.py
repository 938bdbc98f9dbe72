"""Optimizers of several processes: one whose state is shared out; the others are not there yet."""

from typing import Any

from ...optim import Optimizer
from .. import _later
from .zero_redundancy_optimizer import ZeroRedundancyOptimizer

PostLocalSGDOptimizer: Any = _later.kind("PostLocalSGDOptimizer", __name__, Optimizer)
DistributedOptimizer: Any = _later.kind("DistributedOptimizer", __name__, Optimizer)
