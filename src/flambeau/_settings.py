"""Switches of the process: determinism and warnings; and small questions about the process itself."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from .core.array import devices
from .core.context import warned
from .runtime.settings import asks_setting, changes_setting

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_device_module",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_warn_always_enabled",
    "set_deterministic_debug_mode",
    "set_warn_always",
    "use_deterministic_algorithms",
]

_DEBUG_MODES = {"default": 0, "warn": 1, "error": 2}


class _Choices:
    deterministic = False
    warn_only = False


@changes_setting
def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: XLA's CPU programs are deterministic, so that nothing has to be refused or warned of."""
    for name, value in (("'mode' (position 1)", mode), ("'warn_only'", warn_only)):
        if not isinstance(value, bool):
            kind = type(value).__name__
            raise TypeError(f"_set_deterministic_algorithms(): argument {name} must be bool, not {kind}")
    _Choices.deterministic, _Choices.warn_only = mode, warn_only


@asks_setting
def are_deterministic_algorithms_enabled() -> bool:
    """Whether `use_deterministic_algorithms` asked for it."""
    return _Choices.deterministic


@asks_setting
def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether `use_deterministic_algorithms` asked for warnings in place of errors."""
    return _Choices.warn_only


@asks_setting
def get_deterministic_debug_mode() -> int:
    """0 if nothing was asked for, 1 if warnings were, 2 if errors were."""
    return 0 if not _Choices.deterministic else 1 if _Choices.warn_only else 2


@changes_setting
def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by a number or name: 0 "default", 1 "warn", 2 "error". RuntimeError for others."""
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _DEBUG_MODES:
            raise RuntimeError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = _DEBUG_MODES[debug_mode]
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


@changes_setting
def set_warn_always(b: bool) -> None:
    """Whether what is told once in a process is told at each call, where Python's own filters show it."""
    if not isinstance(b, bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    warned.always.value = b


@asks_setting
def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was given last."""
    return warned.always.value


def get_device_module(device: Any = None) -> ModuleType:
    """The module of a kind of device (`torch.cuda`), by default of the accelerator or else the CPU.

    RuntimeError for one that has no module.
    """
    if device is None:
        kind = "cuda" if devices.jax_devices("cuda") else "cpu"
    else:
        kind = devices.device(device).type
    try:
        return importlib.import_module(f"flambeau.{kind}")
    except ModuleNotFoundError:
        raise RuntimeError(
            f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'."
        ) from None
