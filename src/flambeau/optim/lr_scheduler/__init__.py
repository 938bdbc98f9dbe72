"""Learning rate schedules.

The arithmetic is plain Python floats in PyTorch's order of operations, so that the rates are PyTorch's to the last bit.
"""

from ...core.dispatch.help import explain_classes, explain_methods
from .base import LRScheduler, _LRScheduler
from .combined import ChainedScheduler, SequentialLR
from .cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from .decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from .plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

explain_classes([globals()[_name] for _name in __all__], "torch.optim.lr_scheduler")
explain_methods(LRScheduler, "torch.optim.lr_scheduler.LRScheduler")
for _name in __all__:
    globals()[_name].__module__ = __name__  # pickles then have PyTorch's paths
