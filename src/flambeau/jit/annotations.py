"""`torch.jit.annotations`: annotations of code that is written for TorchScript."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: F401, UP035

from .._jit_internal import (  # noqa: F401
    BroadcastingList1,
    BroadcastingList2,
    BroadcastingList3,
    is_dict,
    is_future,
    is_list,
    is_optional,
    is_tuple,
    is_union,
)
from ..core.tensor.tensor import Tensor
from ..futures import Future  # noqa: F401

__all__ = ["Any", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "Dict", "List", "Optional", "Tuple"]


def is_tensor(ann: Any) -> bool:
    """Whether an annotation is a class of tensors."""
    return isinstance(ann, type) and issubclass(ann, Tensor)
