"""`torch.fft`: the operators that declare themselves public here."""

from . import ops  # noqa: F401
from .core.dispatch.operator import namespaces
from .core.tensor.tensor import Tensor

globals().update(namespaces.get("fft", {}))
__all__ = [*sorted(namespaces.get("fft", {})), "Tensor"]
