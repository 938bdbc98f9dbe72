"""`ScriptList` and `ScriptDict`: what `torch.jit.script` makes of lists and dictionaries. Their values are of one type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.dispatch.type_inference import infer
from ..core.dispatch.types import DictType, ListType, Type, unfit
from ..core.tensor.tensor import Tensor
from ._state import Error

__all__ = [
    "ScriptDict",
    "ScriptDictIterator",
    "ScriptDictKeyIterator",
    "ScriptList",
    "ScriptListIterator",
]


def _shown(value: Any) -> str:
    """As TorchScript prints a value: texts without quotes, whole floating point numbers with a dot alone."""
    if isinstance(value, float):
        return f"{value:.0f}." if value == int(value) else f"{value:.6g}"
    if isinstance(value, list | tuple):
        inner = ", ".join(_shown(part) for part in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_shown(k)}: {_shown(v)}' for k, v in value.items())}}}"
    return str(value)


def _fitting(value: Any, kind: Type | None) -> Any:
    """The value, if it is of the type. TypeError if not, as in an empty container, which has none."""
    found = infer(value)
    if kind is None or not found.success() or not found.type().isSubtypeOf(kind):
        said = "an empty one was scripted, which has no type for its values" if kind is None else f"values are {kind}"
        raise TypeError(f"{type(value).__name__} does not fit: {said}")
    return value


class _Iterator:
    """What walks over a scripted container."""

    def __init__(self) -> None:
        raise TypeError(f"torch._C.{type(self).__name__}: No constructor defined!")

    @classmethod
    def _over(cls, values: Any) -> Any:
        made = object.__new__(cls)
        made._values = iter(values)
        return made

    _values: Iterator[Any]

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self._values)


class ScriptListIterator(_Iterator):
    """Walks over the values of a ScriptList."""

    __module__ = "flambeau"


class ScriptDictIterator(_Iterator):
    """Walks over the pairs of a ScriptDict."""

    __module__ = "flambeau"


class ScriptDictKeyIterator(_Iterator):
    """Walks over the keys of a ScriptDict."""

    __module__ = "flambeau"


class _Container:
    """A scripted container, equal to none but itself; its values are in `_plain`."""

    _plain: Any

    def __len__(self) -> int:
        return len(self._plain)

    def __bool__(self) -> bool:
        return bool(self._plain)

    def __repr__(self) -> str:
        return _shown(self._plain)


class ScriptList(_Container):
    """A list whose values are of one type, which is that of the list that it is made of. `torch.jit.Error` for several types."""

    __module__ = "flambeau"

    def __init__(self, *given: Any):
        if len(given) != 1 or not isinstance(given[0], list):
            raise unfit(type(self), "arg0: list", given)
        found = infer(given[0])
        if given[0] and not found.success():
            raise Error(f"Unable to infer type of list: {found.reason()}")
        kind = found.type() if given[0] else None
        self._kind = kind.getElementType() if isinstance(kind, ListType) else None
        self._plain = list(given[0])

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            made = ScriptList([])
            made._plain, made._kind = self._plain[at], self._kind
            return made
        return self._plain[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        if isinstance(at, slice):
            self._plain[at] = [_fitting(v, self._kind) for v in value]
        else:
            self._plain[at] = _fitting(value, self._kind)

    def __delitem__(self, at: int) -> None:
        del self._plain[at]

    def __contains__(self, value: Any) -> bool:
        return _fitting(value, self._kind) in self._plain

    def __iter__(self) -> Iterator[Any]:
        return ScriptListIterator._over(self._plain)

    def append(self, value: Any) -> None:
        """Add a value at the end. TypeError for one of another type."""
        self._plain.append(_fitting(value, self._kind))

    def extend(self, values: Any) -> None:
        """Add values at the end."""
        self._plain.extend([_fitting(value, self._kind) for value in values])

    def insert(self, at: int, value: Any) -> None:
        """Put a value before another one."""
        self._plain.insert(at, _fitting(value, self._kind))

    def pop(self, at: int = -1) -> Any:
        """Take a value out. IndexError if there is none."""
        if not -len(self._plain) <= at < len(self._plain):
            raise IndexError("list index out of range")
        return self._plain.pop(at)

    def remove(self, value: Any) -> None:
        """Take the first such value out. ValueError if there is none."""
        self._plain.remove(_fitting(value, self._kind))

    def count(self, value: Any) -> int:
        """How many such values there are."""
        return self._plain.count(_fitting(value, self._kind))

    def clear(self) -> None:
        """Take all values out."""
        self._plain.clear()

    def __getstate__(self) -> Any:
        return self._plain

    def __setstate__(self, state: Any) -> None:
        self.__init__(state)  # type: ignore[misc]


class ScriptDict(_Container):
    """A dictionary whose keys, and whose values, are of one type. `torch.jit.Error` for several types."""

    __module__ = "flambeau"

    def __init__(self, *given: Any):
        if len(given) != 1 or not isinstance(given[0], dict):
            raise unfit(type(self), "arg0: dict", given)
        found = infer(given[0])
        if given[0] and not found.success():
            raise Error(f"Unable to infer type of dictionary: {found.reason()}")
        kind = found.type() if given[0] else None
        self._kinds = (kind.getKeyType(), kind.getValueType()) if isinstance(kind, DictType) else (None, None)
        self._plain = dict(given[0])

    def __getitem__(self, key: Any) -> Any:
        return self._plain[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._plain[_fitting(key, self._kinds[0])] = _fitting(value, self._kinds[1])

    def __delitem__(self, key: Any) -> None:
        del self._plain[key]

    def __contains__(self, key: Any) -> bool:
        if (
            not isinstance(key, Tensor)
            and self._kinds[0] is not None
            and not infer(key).type().isSubtypeOf(self._kinds[0])
        ):
            raise KeyError(key)
        return key in self._plain

    def __iter__(self) -> Iterator[Any]:
        return ScriptDictKeyIterator._over(self._plain)

    def items(self) -> Iterator[Any]:
        """Walks over the pairs."""
        return ScriptDictIterator._over(self._plain.items())

    def keys(self) -> Iterator[Any]:
        """Walks over the keys."""
        return ScriptDictKeyIterator._over(self._plain)
