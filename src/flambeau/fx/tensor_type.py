"""`torch.fx.tensor_type`: types of tensors by their shapes, in which some sizes may not be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Dyn", "TensorType", "is_consistent", "is_more_precise"]


class TensorType:
    """A tensor's type: a size, or `Dyn`, for each dimension."""

    def __init__(self, dim: Any):
        self.__origin__ = TensorType
        self.__args__ = dim

    @property
    def dims(self) -> Any:
        """The sizes."""
        return self.__args__

    def __repr__(self) -> str:
        return f"TensorType[{self.__args__}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and list(self.__args__) == list(other.__args__)

    __hash__: Callable[..., int] = None  # type: ignore[assignment]

    @staticmethod
    def __class_getitem__(*args: Any) -> TensorType:
        if len(args) == 1 and isinstance(args[0], tuple):
            args = args[0]
        return TensorType(tuple(args))


class _DynType:
    """A type of which nothing is known."""

    def __init__(self) -> None:
        self.__name__ = "_DynType"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self))

    __hash__: Callable[..., Any] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Dyn"


Dyn: _DynType = _DynType()


def is_consistent(t1: Any, t2: Any) -> bool:
    """Whether both could be the type of one value."""
    if Dyn in (t1, t2) or t1 == t2:
        return True
    if isinstance(t1, TensorType) and isinstance(t2, TensorType):
        return len(t1.dims) == len(t2.dims) and all(map(is_consistent, t1.dims, t2.dims))
    return False


def is_more_precise(t1: Any, t2: Any) -> bool:
    """Whether the first says at least as much as the second."""
    if t1 == t2 or t2 == Dyn:
        return True
    if isinstance(t1, TensorType) and isinstance(t2, TensorType):
        return len(t1.dims) == len(t2.dims) and all(map(is_more_precise, t1.dims, t2.dims))
    return False
