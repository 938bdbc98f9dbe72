"""The old name of tensors on the tape."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor


class _OldTensor(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        if not isinstance(data, Tensor):
            if data is not None:
                raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
            data = Tensor()
        made = data.detach()
        return made.requires_grad_() if requires_grad else made


class Variable(metaclass=_OldTensor):
    """The old name for a tensor on the tape: called, it gives `data` itself, requiring grad if asked."""


__all__ = ["Variable"]
