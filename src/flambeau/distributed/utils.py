"""What packages ask for of `torch.distributed.utils`."""

from __future__ import annotations

from typing import Any


def _sync_module_states(*args: Any, **kwargs: Any) -> None:
    """Nothing to do: one process has one state."""
