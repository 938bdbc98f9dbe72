"""Gradients: `backward`, `grad`, user-defined `Function`s, grad modes and `gradcheck`."""

from ..core.autograd import backward, grad
from ..core.function import Function
from ..core.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from . import function, functional, grad_mode, graph
from .anomaly_mode import detect_anomaly, set_detect_anomaly
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .variable import Variable

__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
