"""An older way to share out a data pipe to a loader's workers."""

from __future__ import annotations

import warnings

from ...core.dispatch.messages import message

__all__ = ["worker_init_fn"]


def worker_init_fn(worker_id: int) -> None:
    """Nothing is to be done: `DataLoader` shares out pipes itself."""
    warnings.warn(message("worker_init_fn_deprecated"), FutureWarning)
