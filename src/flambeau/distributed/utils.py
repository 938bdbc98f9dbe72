"""What packages ask for of `torch.distributed.utils`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..nn.modules.module import Module
from ..nn.parallel.distributed import synchronise

__all__ = []


def _sync_module_states(
    module: Module, process_group: Any, broadcast_bucket_size: int = 0, src: int = 0,
    params_and_buffers_to_ignore: Collection[str] = (), broadcast_buffers: bool = True,
) -> None:  # fmt: skip
    """Give all ranks the parameters and buffers of rank `src`."""
    held = dict(module.named_parameters()) | (dict(module.named_buffers()) if broadcast_buffers else {})
    synchronise([t for name, t in held.items() if name not in params_and_buffers_to_ignore], process_group, src)
