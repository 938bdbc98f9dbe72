"""What a pickle may cost: the memory that its operations make per byte of the file, equal hashes, and nesting."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ..core.tensor.tensor import Tensor

FREE, PER_BYTE = 1 << 25, 48  # bytes of memory that any file may make, and that each of its bytes may
EQUAL_HASHES = 100  # keys of one dict with one hash: each is compared with all others
DEPTH = 2000  # Python's own pickler gives up at some 1000

_ENTRY: dict[Any, int] = {dict: 100, OrderedDict: 220, Counter: 100, defaultdict: 100, set: 100, frozenset: 100}
_FEW_BITS = 61  # the hashes of smaller ints are different, but for -1 and -2
_SAFE_KEYS = (str, bytes, bool, type(None), type, Tensor)

# The bytes of memory that an operation makes: a place on the stack and in a container, and the object itself.
_PLACE = 16
COSTS = [_PLACE] * 256
for _codes, _cost in (
    (b"(]}ld", 120),
    (b"\x8f\x91", 260),
    (b"t\x85\x86\x87", 110),
    (b"GFJMIL\x8a\x8b", 60),
    (b"XVTU\x8c\x8d", 100),
    (b"BC\x8e\x96", 100),
    (b"R\x81\x92", 120),
):
    for _code in _codes:
        COSTS[_code] = _cost
NESTING = frozenset(b"]}ld\x8f\x91t\x85\x86\x87R\x81\x92")  # the operations that make containers


def too_much() -> UnpicklingError:
    """The error for a pickle that is over its budget."""
    return UnpicklingError(
        f"the pickle makes far more data than the file holds: more than {FREE >> 20} MiB and {PER_BYTE} bytes of memory "
        "for each of its bytes"
    )


def size_of(value: Any) -> int:
    """About how many bytes of memory a copy of `value` takes, without what it refers to."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return 80 + len(value)
    if kind is int:
        return 40 + value.bit_length() // 7
    if kind in (range, slice):
        return 100 + 2 * sum(size_of(n) for n in (value.start, value.stop, value.step))
    if kind in _ENTRY:
        return 240 + _ENTRY[kind] * len(value)
    if isinstance(value, (tuple, list, deque)):
        return 80 + 9 * len(value) + (600 if kind is deque else 0)
    if isinstance(value, np.ndarray):
        return 200 + value.nbytes
    return 1600 if isinstance(value, Tensor) else 80


class EqualHashes:
    """Counts the keys of a dict or set that have the same hash, for those whose maker can choose their hashes."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def add(self, key: Any) -> None:
        """Take notice of a key. Raises UnpicklingError for too many of one hash."""
        found = hash(key)
        count = self._seen[found] = self._seen.get(found, 0) + 1
        if count > EQUAL_HASHES:
            raise UnpicklingError(
                f"the checkpoint has a dict or set with more than {EQUAL_HASHES} keys of the same hash, which would take for "
                "ever to build"
            )


def hash_is_chosen(key: Any) -> bool:
    """Whether whoever writes a file can make many such keys with one hash."""
    if type(key) is int:
        return key.bit_length() >= _FEW_BITS
    return not isinstance(key, _SAFE_KEYS)


_CONTAINERS = (dict, list, tuple, set, frozenset, deque, Tensor)


def _parts(value: Any) -> Any:
    """What a container, or a tensor with attributes, holds."""
    if isinstance(value, dict):
        held = list(value.values())
        held += [key for key in value if isinstance(key, (tuple, frozenset))]
        attributes = getattr(value, "__dict__", None)
        return held + list(attributes.values()) if attributes else held
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value
    return list(value.__dict__.values())


def _is_leaf(value: Any) -> bool:
    """Whether a container is small and holds no other; most do, and are not worth to be remembered."""
    parts = _parts(value)
    return len(parts) <= 8 and not any(isinstance(part, _CONTAINERS) for part in parts)


def check_depth(*values: Any) -> None:
    """Raises UnpicklingError for values in values in values ...: Python's own functions would use up the stack."""
    heights: dict[int, int] = {}  # of the containers that are done; 0 for those that are not
    path: list[list[Any]] = [[0, 0, iter(values)]]  # the container's id, the height so far, the parts that are left
    while path:
        height, parts = path[-1][1], path[-1][2]
        if len(path) > DEPTH + 1:
            raise UnpicklingError(f"the checkpoint is nested more than {DEPTH} levels deep")
        for part in parts:
            if isinstance(part, _CONTAINERS) and not _is_leaf(part):
                known = heights.get(id(part))
                if known is None:
                    heights[id(part)] = 0
                    path[-1][1] = height
                    path.append([id(part), 0, iter(_parts(part))])
                    break
                height = max(height, known)
        else:
            done = path.pop()
            height += 1
            heights[done[0]] = height
            if height > DEPTH + 1:
                raise UnpicklingError(f"the checkpoint is nested more than {DEPTH} levels deep")
            if path:
                path[-1][1] = max(path[-1][1], height)
