"""Optimizers and learning rate schedules."""

from ..core.dispatch.help import explain_classes as _explain_classes
from ..core.dispatch.help import explain_methods as _explain_methods
from ..core.dispatch.help import explain_own_methods as _explain_own_methods
from . import lr_scheduler, swa_utils
from ._adafactor import Adafactor
from ._grouped import GroupedOptimizer as _GroupedOptimizer
from ._muon import Muon
from ._swapping import swap_in_optimizer_params_and_state
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW
from .asgd import ASGD
from .lbfgs import LBFGS
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD
from .sparse_adam import SparseAdam

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Muon", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "Rprop", "SparseAdam", "lr_scheduler", "swa_utils", "swap_in_optimizer_params_and_state",
]  # fmt: skip

_explain_classes([value for value in globals().values() if isinstance(value, type)], "torch.optim")
for _cls in (Optimizer, _GroupedOptimizer):  # which has the step of most of them
    _explain_methods(_cls, "torch.optim.Optimizer")
_explain_own_methods([LBFGS], "torch.optim")
