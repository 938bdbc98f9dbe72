"""Gradients: `backward`, `grad`, user-defined `Function`s, grad modes and `gradcheck`."""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ..core.autograd.function import Function as Function
from ..core.autograd.function import NestedIOFunction as NestedIOFunction
from ..core.context.grad_mode import enable_grad as enable_grad
from ..core.context.grad_mode import inference_mode as inference_mode
from ..core.context.grad_mode import no_grad as no_grad
from ..core.context.grad_mode import set_grad_enabled as set_grad_enabled
from ..core.dispatch.help import explain_namespace as _explain
from . import function, functional, grad_mode, graph
from ._public import backward as backward
from ._public import grad as grad
from .anomaly_mode import detect_anomaly as detect_anomaly
from .anomaly_mode import set_detect_anomaly as set_detect_anomaly
from .grad_mode import _is_multithreading_enabled as is_multithreading_enabled
from .grad_mode import enforce_grad_layout_policy as enforce_grad_layout_policy
from .grad_mode import set_multithreading_enabled as set_multithreading_enabled
from .gradcheck import GradcheckError as GradcheckError
from .gradcheck import gradcheck as gradcheck
from .gradcheck import gradgradcheck as gradgradcheck
from .variable import Variable as Variable

_is_checkpoint_valid = Variable._execution_engine.is_checkpoint_valid


def _profiler_enabled() -> bool:
    """Whether this thread is being profiled."""
    from ._recorder import recorders

    return bool(recorders.active)


def _disable_profiler() -> _Any:
    """Stop the innermost profile of this thread, and return its events. RuntimeError if there is none."""
    from .profiler import _disable_profiler as stop

    return stop()


def kineto_available() -> bool:
    """Whether profiles can be made: `torch.profiler` measures without Kineto here."""
    return True


if _TYPE_CHECKING:
    from . import forward_ad, profiler, profiler_util
else:

    def __getattr__(name: str) -> _Any:
        if name in ("forward_ad", "profiler", "profiler_util"):  # they need floors that need this package's
            return _importlib.import_module(f"{__package__}.{name}")
        raise AttributeError(f"{__name__}: no {name!r} here")


if not _TYPE_CHECKING:  # type checkers take every name
    __all__ = (
        "Function GradcheckError NestedIOFunction Variable backward detect_anomaly enable_grad enforce_grad_layout_policy "
        "forward_ad function functional grad grad_mode gradcheck gradgradcheck graph inference_mode no_grad "
        "set_detect_anomaly set_grad_enabled set_multithreading_enabled"
    ).split()

_explain(globals(), "torch.autograd", without=("enable_grad", "inference_mode", "no_grad", "set_grad_enabled"))
