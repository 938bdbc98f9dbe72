"""Which class takes the gradients for which optimizer."""

from typing import Any

from ...optim.adadelta import Adadelta
from ...optim.adagrad import Adagrad
from ...optim.adam import Adam
from ...optim.adamax import Adamax
from ...optim.adamw import AdamW
from ...optim.rmsprop import RMSprop
from ...optim.rprop import Rprop
from ...optim.sgd import SGD
from .functional_adadelta import _FunctionalAdadelta
from .functional_adagrad import _FunctionalAdagrad
from .functional_adam import _FunctionalAdam
from .functional_adamax import _FunctionalAdamax
from .functional_adamw import _FunctionalAdamW
from .functional_rmsprop import _FunctionalRMSprop
from .functional_rprop import _FunctionalRprop
from .functional_sgd import _FunctionalSGD

functional_optim_map: dict[Any, Any] = {
    Adam: _FunctionalAdam, AdamW: _FunctionalAdamW, SGD: _FunctionalSGD, Adagrad: _FunctionalAdagrad, Adadelta: _FunctionalAdadelta,
    Adamax: _FunctionalAdamax, RMSprop: _FunctionalRMSprop, Rprop: _FunctionalRprop,
}  # fmt: skip


def register_functional_optim(key: Any, optim: Any) -> None:
    """Have `as_functional_optim(key)` make an `optim`, unless it makes something already."""
    if key not in functional_optim_map:
        functional_optim_map[key] = optim


def as_functional_optim(optim_cls: type, *args: Any, **kwargs: Any) -> Any:
    """An optimizer without parameters, whose `step_param` is given them. ValueError for a class that has none."""
    if optim_cls not in functional_optim_map:
        raise ValueError(f"Optimizer {optim_cls} does not have a functional counterpart!")
    return functional_optim_map[optim_cls]([], *args, **kwargs, _allow_empty_param_list=True)
