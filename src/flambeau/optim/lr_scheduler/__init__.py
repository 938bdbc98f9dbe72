"""Learning rate schedules.

The arithmetic is plain Python floats in PyTorch's order of operations, so that the rates are PyTorch's to the last bit.
"""

from ...core.dispatch.help import explain_classes as _explain_classes
from ...core.dispatch.help import explain_methods as _explain_methods
from ...core.dispatch.help import explain_own_methods as _explain_own_methods
from .base import LRScheduler, _LRScheduler
from .combined import ChainedScheduler, SequentialLR, _Several
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
    _Lambdas,
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

_explain_classes([globals()[_name] for _name in __all__], "torch.optim.lr_scheduler")
for _cls in (LRScheduler, _Several, _Lambdas):
    _explain_methods(_cls, "torch.optim.lr_scheduler.LRScheduler")
_explain_own_methods([globals()[_name] for _name in __all__], "torch.optim.lr_scheduler")
for _name in __all__:
    globals()[_name].__module__ = __name__  # pickles then have PyTorch's paths
