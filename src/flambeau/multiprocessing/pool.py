"""`torch.multiprocessing.pool`: Python's pool of processes."""

from __future__ import annotations

import gc
import multiprocessing.pool
from multiprocessing.pool import Pool
from typing import Any

__all__ = ["Pool", "clean_worker"]


def clean_worker(*args: Any, **kwargs: Any) -> None:
    """What a process of a pool runs; what it leaves in circles is collected at its end."""
    multiprocessing.pool.worker(*args, **kwargs)  # type: ignore[attr-defined]
    gc.collect()
