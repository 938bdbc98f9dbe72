"""`torch._C._fft`: the functions of `torch.fft`, with `fft_` in front of their names, as they are called in generated code."""

from __future__ import annotations

from typing import Any

from .. import fft as _functions


def __getattr__(name: str) -> Any:
    found = getattr(_functions, name.removeprefix("fft_"), None)
    if found is None or not name.startswith("fft_"):
        raise AttributeError(f"module {__package__}._fft has no attribute {name!r}")
    return found
