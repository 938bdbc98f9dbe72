"""Convolutions by NNPACK, which flambeau does not use. What is set is remembered and changes nothing."""

from collections.abc import Iterator as _Iterator
from contextlib import contextmanager as _contextmanager

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..runtime.settings import changes_setting as _changes_setting

__all__ = ["flags", "is_available", "set_flags"]


def is_available() -> bool:
    """False."""
    return False


_wanted = True


@_changes_setting
def set_flags(_enabled: bool) -> tuple[bool]:
    """Set whether it is wanted, and give what was set before."""
    global _wanted
    before, _wanted = _wanted, bool(_enabled)
    return (before,)


@_contextmanager
def flags(enabled: bool = False) -> _Iterator[None]:
    """Inside, it is wanted or not."""
    (before,) = set_flags(enabled)
    try:
        yield
    finally:
        set_flags(before)


_explain_namespace(globals(), "torch.backends.nnpack")
