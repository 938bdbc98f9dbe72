"""Gradients: `backward`, `grad`, user-defined `Function`s, grad modes and `gradcheck`."""

from ..core.autograd import backward, grad
from ..core.function import Function
from ..core.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from ..core.tensor import Tensor
from . import function, functional, grad_mode, graph
from .gradcheck import GradcheckError, gradcheck, gradgradcheck


def Variable(data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
    """The old name for a tensor on the tape: `data` itself, requiring grad if asked."""
    made = data.detach()
    return made.requires_grad_() if requires_grad else made


class set_detect_anomaly:
    """Accepted for compatibility: errors in backward already name the operator; NaNs are not searched for."""

    def __init__(self, mode: bool = True, check_nan: bool = True):
        self.mode = mode

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


class detect_anomaly(set_detect_anomaly):
    """As `set_detect_anomaly(True)`."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)


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
