"""`flambeau.nn.functional`: every function that `ops/` declares for it."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from .. import ops  # noqa: F401  (declares them)
from ..core.array import dtypes as _dtypes
from ..core.context.overrides import (
    handle_torch_function,
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
)
from ..core.context.telling import warn as _warn
from ..core.context.tracing import structure as _structure
from ..core.dispatch.operator import namespaces as _namespaces
from ..core.tensor.tensor import Tensor
from ..ops.layers.sampling import MODES as GRID_SAMPLE_INTERPOLATION_MODES
from ..ops.layers.sampling import PADDING_MODES as GRID_SAMPLE_PADDING_MODES
from ..ops.linalg.grouped import _ScalingType as ScalingType
from ..ops.linalg.grouped import _SwizzleType as SwizzleType
from ..ops.making.constants import zeros_like as _zeros_like
from . import _reduction as _Reduction

globals().update(_namespaces["nn.functional"])

# what code that was written beside `torch.nn.functional` takes from there
_FOUND_THERE = (
    Callable, _Reduction, GRID_SAMPLE_INTERPOLATION_MODES, GRID_SAMPLE_PADDING_MODES, Optional, ScalingType, SwizzleType, Tensor,
    handle_torch_function, has_torch_function, has_torch_function_unary, has_torch_function_variadic, math, np, warnings,
)  # fmt: skip
DType = int


class _BroadcastingList:
    """What TorchScript reads in annotations: `BroadcastingList2[int]` is an int or a list of two. Nothing looks at it."""

    def __getitem__(self, types: Any) -> None:
        return None


BroadcastingList1, BroadcastingList2, BroadcastingList3 = (_BroadcastingList() for _ in range(3))


def sigmoid(input: Any) -> Any:
    """`torch.sigmoid`."""
    return _namespaces["torch"]["sigmoid"](input)


def tanh(input: Any) -> Any:
    """`torch.tanh`."""
    return _namespaces["torch"]["tanh"](input)


def assert_int_or_pair(arg: list[int], arg_name: str, message: str) -> None:
    """Raise AssertionError unless it is an int or has two elements; `{}` in the message is the name."""
    if not (isinstance(arg, int) or len(arg) == 2):
        raise AssertionError(message.format(arg_name))


def boolean_dispatch(
    arg_name: str, arg_index: int, default: bool, if_true: Any, if_false: Any, module_name: str, func_name: str
) -> Callable[..., Any]:
    """One function of two: the argument of that name or place, or its default, says which is called."""

    def choose(*args: Any, **kwargs: Any) -> Any:
        chosen = args[arg_index] if arg_index < len(args) else kwargs.get(arg_name, default)
        return (if_true if chosen else if_false)(*args, **kwargs)

    chosen_doc = if_true.__doc__ if if_false.__doc__ is None else if_false.__doc__
    choose.__module__, choose.__name__, choose.__doc__ = module_name, func_name, chosen_doc
    return choose


__all__ = ["sigmoid", "tanh", *_namespaces["nn.functional"]]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # a type checker cannot see what `ops/` declares


def _none_or_dtype(input: Any) -> Any:
    """A tensor's dtype, None for None."""
    if input is None or isinstance(input, Tensor):
        return None if input is None else input.dtype
    raise RuntimeError(f"input to {_none_or_dtype.__name__}() must be None or torch.Tensor")


def _canonical_mask(
    mask: Any, mask_name: str, other_type: Any, other_name: str, target_type: Any, check_other: bool = True
) -> Any:
    """A mask as one that is added: minus infinity where a bool one is true."""
    if mask is None:
        return None
    if mask.dtype is not _dtypes.bool and not mask.dtype.is_floating_point:
        kinds = "bool and floating"
        raise AssertionError(f"only {kinds} types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype is not other_type:
        _warn(f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.")
    if mask.dtype.is_floating_point:
        return mask
    return _zeros_like(mask, dtype=target_type).masked_fill_(mask, -math.inf)


class _Functional(ModuleType):
    """A function that is put in another's place is what layers call from then on: in compiled functions too."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        _structure.replaced += 1
        _structure.version += 1


sys.modules[__name__].__class__ = _Functional
