"""`torch.utils.deterministic`: whether memory that nobody has written to is filled."""

from __future__ import annotations

import sys
import types


class _Deterministic(types.ModuleType):
    @property
    def fill_uninitialized_memory(self) -> bool:
        """Always True: `torch.empty` gives zeros, deterministic algorithms or not."""
        return True

    @fill_uninitialized_memory.setter
    def fill_uninitialized_memory(self, mode: bool) -> None:
        if type(mode) is not bool:
            raise TypeError(f"fill_uninitialized_memory must be a bool, got {type(mode).__name__}")


sys.modules[__name__].__class__ = _Deterministic
