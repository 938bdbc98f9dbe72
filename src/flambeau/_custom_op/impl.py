"""What the oldest door to own operators held: how they were made is refused, the rest is `torch.library`'s."""

from __future__ import annotations

from typing import Any, NoReturn

from .._library.calls import get_ctx
from ..library import infer_schema

_CURE = "torch._custom_op.impl.{name}: this old API is not here. Use torch.library.custom_op (or torch.library.Library)"


def custom_op(*args: Any, **kwargs: Any) -> NoReturn:
    """NotImplementedError: use `torch.library.custom_op`."""
    raise NotImplementedError(_CURE.format(name="custom_op"))


class CustomOp:
    """NotImplementedError: use `torch.library.custom_op`."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError(_CURE.format(name="CustomOp"))


__all__ = ["CustomOp", "custom_op", "get_ctx", "infer_schema"]
