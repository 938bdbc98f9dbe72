"""What `isinstance`, `issubclass` and class patterns read: an object's class, what it inherits from, what an abstract class counts as its own."""

from __future__ import annotations

import abc
import numbers
from typing import Any

from ...core.dispatch.host_numbers import LooseInt, settle
from ...core.tensor.tensor import Tensor
from .modules import is_library_class
from .symbols import UNKNOWN
from .values import is_container

_OF_NUMBERS = (numbers.Number, numbers.Complex, numbers.Real, numbers.Rational, numbers.Integral)


def is_instance(watcher: Any, value: Any, classes: Any) -> None:
    """Somebody asks whether an object is of one of some classes."""
    each = classes if isinstance(classes, tuple) else (classes,)
    if isinstance(value, LooseInt) or not all(type(cls) is type or cls in _OF_NUMBERS for cls in each):
        settle(value)
    if value is UNKNOWN:
        return
    is_subclass(watcher, type(value), classes)
    if not isinstance(value, Tensor) and not is_container(value) and hasattr(value, "__dict__"):
        watcher.known(value)
        if watcher.is_old(value):
            watcher.reads.kind(value)


def is_subclass(watcher: Any, kind: Any, classes: Any) -> None:
    """Somebody asks whether a class inherits from one of others, or counts as theirs."""
    if not isinstance(kind, type):
        return
    watcher.reads.bases(kind)
    for cls in classes if isinstance(classes, tuple) else (classes,):
        if isinstance(cls, tuple):
            is_subclass(watcher, kind, cls)
        elif isinstance(cls, type) and issubclass(type(cls), abc.ABCMeta) and not is_library_class(cls):
            watcher.inherits(kind, cls)


__all__ = ["is_instance", "is_subclass"]
