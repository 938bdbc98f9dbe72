"""Which dtype gradients have at a leaf: the leaf's own, one that was asked for (`grad_dtype`), or any."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..array import dtypes
from .nodes import OWN, AccumulateGrad

_asked = itertools.count(1)
asked = 0  # how often leaves were told another dtype: while 0, nobody need look, and programs hold for this number


def taken_at(tensor: Any) -> np.dtype | None:
    """The dtype that this tensor's `.grad` has; None for any."""
    node = tensor._frozen if tensor._edge is None else tensor._edge[0]
    takes: Any = getattr(node, "takes", OWN)
    return tensor._np_dtype if takes is OWN else takes


def tell(tensor: Any, takes: np.dtype | None) -> None:
    """Let gradients come to this leaf in another dtype, or (None) in the one that they have."""
    global asked
    held = taken_at(tensor)
    if takes is held or (takes is not None and held is not None and takes == held):  # NumPy has None equal to float64
        return
    if tensor._edge is None and tensor._frozen is None:
        tensor._frozen = AccumulateGrad(tensor)  # it will be the place on the tape if it asks for its gradient later
    node = tensor._frozen if tensor._edge is None else tensor._edge[0]
    node.takes = takes
    asked = next(_asked)


def unlike(value: Any, takes: np.dtype) -> RuntimeError:
    """The error of a `.grad` of another dtype."""
    return RuntimeError(
        f"attempting to assign a gradient with dtype '{dtypes.cpp_name(value.dtype)}' to a tensor with grad_dtype "
        f"'{dtypes.from_numpy(takes).abbr}'. The gradient must match the tensor's grad_dtype (the tensor's dtype unless "
        "x.grad_dtype was set: None allows any)."
    )
