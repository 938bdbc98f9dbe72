"""Dictionaries whose keys are objects themselves, held weakly: two tensors of equal values are two keys."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, MutableMapping
from typing import Any

__all__ = ["TensorWeakRef", "WeakIdKeyDictionary", "WeakIdRef", "WeakTensorKeyDictionary"]


class WeakIdRef(weakref.ref):
    """A weak reference that compares and hashes by which object it is."""

    __slots__ = ("_id",)
    _id: int

    def __new__(cls, key: Any, callback: Any = None) -> Any:
        made = super().__new__(cls, key, callback)
        made._id = id(key)
        return made

    def __init__(self, key: Any, callback: Any = None):
        super().__init__(key, callback)  # type: ignore[call-arg]

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        mine, theirs = self(), other() if isinstance(other, weakref.ref) else None
        return mine is theirs if mine is not None and theirs is not None else self is other

    def __call__(self) -> Any:
        return super().__call__()


class WeakIdKeyDictionary(MutableMapping):
    """A dictionary by which object a key is; an entry goes with its key."""

    def __init__(self, dict: Any = None, ref_type: type = WeakIdRef):
        self.ref_type = ref_type
        self.data: dict[Any, Any] = {}
        if dict is not None:
            self.update(dict)

    def _ref(self, key: Any, forget: bool = False) -> Any:
        held = weakref.ref(self) if forget else None

        def gone(ref: Any) -> None:
            owner = held() if held is not None else None
            if owner is not None:
                owner.data.pop(ref, None)

        return self.ref_type(key, gone) if forget else self.ref_type(key)

    def __getitem__(self, key: Any) -> Any:
        return self.data[self._ref(key)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[self._ref(key, True)] = value

    def __delitem__(self, key: Any) -> None:
        del self.data[self._ref(key)]

    def __contains__(self, key: Any) -> bool:
        try:
            return self._ref(key) in self.data
        except TypeError:
            return False

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        for ref in list(self.data):
            key = ref()
            if key is not None:
                yield key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}>"


class TensorWeakRef:
    """A weak reference to a tensor."""

    def __init__(self, tensor: Any):
        self.ref: Any = weakref.ref(tensor)

    def __call__(self) -> Any:
        return self.ref()


WeakTensorKeyDictionary = WeakIdKeyDictionary
