"""Collectives of Python objects, which travel as pickles: each rank gets copies. So all ranks have to trust each other."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.tensor.tensor import from_host
from .collectives import _root
from .groups import chosen
from .point_to_point import _peer, recv, send
from .running import outside, untraced


def _pickled(value: Any) -> np.ndarray:
    return np.frombuffer(pickle.dumps(value), np.uint8)


def _exchanged(group: Any, what: str, value: np.ndarray | None, **said: Any) -> list[Any]:
    """What everybody has sent, as bytes or None."""
    untraced(what)
    exchange = group.exchange
    pending = exchange.begin(lambda: exchange.meet({"what": what, **said}, value, None), wait=True)
    if pending.error is not None:
        raise pending.error
    return [array for _, array in pending.value]


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Every rank's object, put into the list."""
    if outside(group, "all_gather_object"):
        return
    for i, raw in enumerate(_exchanged(chosen(group), "all_gather_object", _pickled(obj))):
        object_list[i] = pickle.loads(raw)


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None,
    group_dst: int | None = None,
) -> None:  # fmt: skip
    """Every rank's object, put into rank `dst`'s list."""
    if outside(group, "gather_object"):
        return
    group = chosen(group)
    root = _root(group, dst, group_dst, "gather")
    mine = root == group.rank()
    if mine and not object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
    if not mine and object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must NOT be specified on non-destination ranks.")
    found = _exchanged(group, "gather_object", _pickled(obj), root=root)
    if mine and object_gather_list is not None:
        for i, raw in enumerate(found):
            object_gather_list[i] = pickle.loads(raw)


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None
) -> None:
    """Rank `src`'s objects, put into every rank's list."""
    if outside(group, "broadcast_object_list"):
        return
    group = chosen(group)
    root = _root(group, src, 0 if src is None and group_src is None else group_src, "broadcast")
    value = _pickled(list(object_list)) if root == group.rank() else None
    found = _exchanged(group, "broadcast_object_list", value, root=root, length=len(object_list))[root]
    object_list[:] = pickle.loads(found)


def scatter_object_list(
    scatter_object_output_list: list[Any], scatter_object_input_list: list[Any] | None = None, src: int | None = None,
    group: Any = None, group_src: int | None = None,
) -> None:  # fmt: skip
    """The entries of rank `src`'s list, the first of each rank's list."""
    if outside(group, "scatter_object_list"):
        return
    group = chosen(group)
    root = _root(group, src, group_src, "scatter")
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    value = None
    if root == group.rank():
        if not scatter_object_input_list:
            raise ValueError("source rank must provide non-None scatter_object_input_list")
        if len(scatter_object_input_list) != group.size():
            raise ValueError(
                f"scatter_object_input_list has {len(scatter_object_input_list)} entries for {group.size()} ranks"
            )
        value = _pickled([pickle.dumps(entry) for entry in scatter_object_input_list])
    found = _exchanged(group, "scatter_object_list", value, root=root)[root]
    scatter_object_output_list[0] = pickle.loads(pickle.loads(found)[group.rank()])


def send_object_list(
    object_list: list[Any], dst: int | None = None, group: Any = None, device: Any = None, group_dst: int | None = None,
    use_batch: bool = False,
) -> None:  # fmt: skip
    """Send the objects to one rank, which knows how many they are."""
    if outside(group, "send_object_list"):
        return
    untraced("send_object_list")
    _send_objects(object_list, chosen(group), _peer(chosen(group), dst, group_dst, "destination"), _TAG)


def _send_objects(objects: list[Any], group: Any, member: int, tag: int) -> None:
    raw = _pickled(list(objects))
    send(from_host(np.array([raw.size], np.int64)), None, group, tag, member)
    send(from_host(raw.copy()), None, group, tag, member)


def recv_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None,
    use_batch: bool = False,
) -> int:  # fmt: skip
    """Receive as many objects as the list has places: the sender's rank."""
    if outside(group, "recv_object_list"):
        return -1
    if src is not None or group_src is not None:
        _peer(chosen(group), src, group_src, "source")
    untraced("recv_object_list")
    object_list[:], sender = _receive_objects(src, group, group_src, _TAG)
    return sender


def _receive_objects(src: int | None, group: Any, group_src: int | None, tag: int) -> tuple[list[Any], int]:
    size = from_host(np.zeros(1, np.int64))
    sender = recv(size, src, group, tag, group_src)
    raw = from_host(np.zeros(size.item(), np.uint8))
    recv(raw, sender, group, tag)
    return pickle.loads(np.asarray(raw._array).tobytes()), sender


_TAG = -1  # messages of objects do not mix with those of tensors

if not TYPE_CHECKING:  # type checkers take every name
    __all__ = [
        name
        for name, value in list(globals().items())
        if getattr(value, "__module__", None) == __name__ and name[0] != "_"
    ]
