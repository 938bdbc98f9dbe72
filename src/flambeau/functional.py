"""`torch.functional`: functions of `torch` that PyTorch has in Python."""

from .core.context.overrides import resolve as _resolve
from .core.dispatch.operator import namespaces as _namespaces

_TOP = _namespaces["torch"]
_ELSEWHERE = ("broadcast_shapes", "unravel_index")  # in Python, too, but modes know them as functions of `torch`

__all__ = [name for name, face in _TOP.items() if name in _ELSEWHERE or _resolve(face) == f"torch.functional.{name}"]
globals().update({name: _TOP[name] for name in __all__})
