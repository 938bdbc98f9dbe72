"""What losses outside of the library ask about their `reduction`: its number, and what the two old switches mean."""

from __future__ import annotations

import warnings

from ..ops.support.losses import meant_by, no_reduction

_NUMBERS = {"none": 0, "mean": 1, "elementwise_mean": 1, "sum": 2}


def get_enum(reduction: str) -> int:
    """The number of a reduction: 0 is "none", 1 "mean", 2 "sum". ValueError for anything else.

    Example:
        >>> from flambeau.nn import _reduction
        >>> _reduction.get_enum("sum")
        2
    """
    if reduction == "elementwise_mean":
        warnings.warn(
            "reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.",
            UserWarning,
            stacklevel=2,
        )
    if reduction not in _NUMBERS:
        raise no_reduction(reduction)
    return _NUMBERS[reduction]


def legacy_get_string(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The reduction that two switches mean; None is True for both. `emit_warning` says that they are old."""
    meant = meant_by(size_average, reduce)
    if emit_warning:
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", stacklevel=2
        )
    return meant


def legacy_get_enum(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> int:
    """The number of what two switches mean (see `legacy_get_string`)."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))
