"""`torch._VF`: functions of torch's own namespace, under the name by which code of its layers calls them."""

from __future__ import annotations

from typing import Any

from .core.dispatch.operator import namespaces


def __getattr__(name: str) -> Any:
    try:
        return namespaces["torch"][name]
    except KeyError:
        raise AttributeError(f"module 'torch._VF' has no attribute {name!r}") from None
