"""`torch._C._linalg`: the functions of `torch.linalg`, with `linalg_` in front of their names, as they are called in generated code."""

from __future__ import annotations

from typing import Any

from .. import linalg as _functions


def __getattr__(name: str) -> Any:
    found = getattr(_functions, name.removeprefix("linalg_"), None)
    if found is None or not name.startswith("linalg_"):
        raise AttributeError(f"module {__package__}._linalg has no attribute {name!r}")
    return found
