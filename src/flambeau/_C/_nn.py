"""`torch._C._nn`: the functions of `nn.functional` that PyTorch has in C++, as they are called in generated code."""

from __future__ import annotations

from typing import Any

from ..nn import functional

log_sigmoid = functional.logsigmoid


def __getattr__(name: str) -> Any:
    found = getattr(functional, name, None)
    if found is None or name.startswith("__"):
        raise AttributeError(f"module {__package__}._nn has no attribute {name!r}")
    return found
