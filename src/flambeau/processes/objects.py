"""Collectives of Python objects, which travel as pickles: each rank gets copies."""

from __future__ import annotations

import copy
from typing import Any

from .collectives import _no_other, _root
from .groups import chosen


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Every rank's object, put into the list."""
    chosen(group)
    object_list[0] = copy.deepcopy(obj)


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None,
    group_dst: int | None = None,
) -> None:  # fmt: skip
    """Every rank's object, put into rank `dst`'s list."""
    chosen(group)
    _root(dst, group_dst, "gather")
    if not object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
    object_gather_list[0] = copy.deepcopy(obj)


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None
) -> None:
    """Rank `src`'s objects, put into every rank's list."""
    chosen(group)
    _root(src, group_src, "broadcast")
    object_list[:] = copy.deepcopy(object_list)


def scatter_object_list(
    scatter_object_output_list: list[Any], scatter_object_input_list: list[Any] | None = None, src: int | None = None,
    group: Any = None, group_src: int | None = None,
) -> None:  # fmt: skip
    """The entries of rank `src`'s list, the first of each rank's list."""
    chosen(group)
    _root(src, group_src, "scatter")
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    if not scatter_object_input_list:
        raise ValueError("source rank must provide non-None scatter_object_input_list")
    scatter_object_output_list[0] = copy.deepcopy(scatter_object_input_list[0])


def send_object_list(
    object_list: list[Any], dst: int | None = None, group: Any = None, device: Any = None, group_dst: int | None = None,
    use_batch: bool = False,
) -> None:  # fmt: skip
    """There is nobody to send to: ValueError or RuntimeError."""
    _no_other("destination", dst if group_dst is None else group_dst, group)


def recv_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None,
    use_batch: bool = False,
) -> None:  # fmt: skip
    """There is nobody to receive from: ValueError or RuntimeError."""
    _no_other("source", src if group_src is None else group_src, group)


__all__ = [
    name for name, value in list(globals().items()) if getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
