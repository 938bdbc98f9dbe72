"""The window functions of `torch.signal.windows`, under the name of the file that has them in PyTorch."""

from ...core.dispatch.operator import namespaces

_FUNCTIONS = namespaces.get("signal.windows", {})
globals().update(_FUNCTIONS)
__all__ = sorted(_FUNCTIONS)
