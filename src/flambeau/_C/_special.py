"""`torch._C._special`: the functions of `torch.special`, with `special_` in front of their names, as they are called in generated code."""

from __future__ import annotations

from typing import Any

from .. import special as _functions


def __getattr__(name: str) -> Any:
    found = getattr(_functions, name.removeprefix("special_"), None)
    if found is None or not name.startswith("special_"):
        raise AttributeError(f"module {__package__}._special has no attribute {name!r}")
    return found
