"""`torch.jit._state`: whether `torch.jit` is on, which `PYTORCH_JIT=0` says at the start."""

from __future__ import annotations

import os
from typing import Any


class Error(Exception):
    """What TorchScript's interpreter raises in PyTorch. Errors here are those of the Python code, as they are."""


Error.__module__ = "flambeau.jit"
JITException = Error


class EnabledProxy:
    """The switch. Off, `script` and `trace` give back what they are given."""

    def __init__(self) -> None:
        self.enabled = os.environ.get("PYTORCH_JIT", "1") != "0"

    def __bool__(self) -> bool:
        return self.enabled


_enabled = EnabledProxy()


def disable() -> None:
    """Turn it off."""
    _enabled.enabled = False


def enable() -> None:
    """Turn it on."""
    _enabled.enabled = True


def _try_get_jit_cached_function(fn: Any) -> None:
    """None: nothing is compiled, so nothing is kept."""
