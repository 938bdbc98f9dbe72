"""`torch.return_types`: the named results of operators that return several tensors."""

from __future__ import annotations

from typing import Any

from . import ops  # noqa: F401
from .core.array.return_types import registry, written_type

_WITHOUT_OUT = ("histogramdd", "_lu_with_info")
for _kind in [kind for name, kind in registry.items() if name not in _WITHOUT_OUT and not name.endswith("_out")]:
    written_type(_kind)

globals().update(registry)
all_return_types = [registry[name] for name in sorted(registry)]


def pytree_register_structseq(cls: Any) -> None:
    """Nothing is left to do: every tuple with named fields is a node of `torch.utils._pytree` already."""
