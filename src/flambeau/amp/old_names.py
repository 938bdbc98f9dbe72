"""`torch.get_autocast_cpu_dtype` and its like: autocast's settings by kinds of devices in their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.array import dtypes
from . import autocast_mode

# kinds for which there is no autocast here: what was set for them is told again, and nothing else
_elsewhere: dict[str, Any] = {"ipu": dtypes.float16, "xla": dtypes.bfloat16}


def _dtype_of(kind: str) -> Callable[[], Any]:
    device = {"gpu": "cuda"}.get(kind, kind)

    def get() -> Any:
        return _elsewhere[kind] if kind in _elsewhere else autocast_mode.get_autocast_dtype(device)

    return get


def _set_dtype_of(kind: str) -> Callable[[Any], None]:
    device = {"gpu": "cuda"}.get(kind, kind)

    def set(dtype: Any) -> None:
        if kind in _elsewhere:
            _elsewhere[kind] = dtype
        else:
            autocast_mode.set_autocast_dtype(device, dtype)

    return set


def _is_enabled(kind: str) -> Callable[[], bool]:
    return lambda: kind not in _elsewhere and autocast_mode.is_autocast_enabled(kind)


def _set_enabled(kind: str) -> Callable[[bool], None]:
    def set(enabled: bool) -> None:
        if kind not in _elsewhere:
            autocast_mode.set_autocast_enabled(kind, enabled)
        elif enabled:
            raise RuntimeError(f"there is no autocast for {kind} devices: there are none here")

    return set


for _kind in ("cpu", "gpu", "ipu", "xla"):
    for _name, _made, _doc in (
        (f"get_autocast_{_kind}_dtype", _dtype_of(_kind), "The dtype to which autocast casts there."),
        (f"set_autocast_{_kind}_dtype", _set_dtype_of(_kind), "Set the dtype to which autocast casts there."),
        (f"is_autocast_{_kind}_enabled", _is_enabled(_kind), "Whether autocast is on there."),
        (f"set_autocast_{_kind}_enabled", _set_enabled(_kind), "Switch autocast there."),
    ):
        _made.__name__ = _made.__qualname__ = _name
        _made.__doc__ = _doc
        globals()[_name] = _made


def autocast_increment_nesting() -> int:
    """Count one region more; returns how many there are."""
    autocast_mode.kept.nesting += 1
    return autocast_mode.kept.nesting


def autocast_decrement_nesting() -> int:
    """Count one region less; returns how many there are."""
    autocast_mode.kept.nesting -= 1
    return autocast_mode.kept.nesting
