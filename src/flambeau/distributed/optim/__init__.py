"""Optimizers whose state is cut among processes. Refused: it needs several."""

from ...optim import Optimizer
from .. import _later

ZeroRedundancyOptimizer = _later.kind("ZeroRedundancyOptimizer", __name__, Optimizer)
PostLocalSGDOptimizer = _later.kind("PostLocalSGDOptimizer", __name__, Optimizer)
DistributedOptimizer = _later.kind("DistributedOptimizer", __name__, Optimizer)
