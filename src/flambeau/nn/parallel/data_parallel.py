"""A module whose batches are spread over GPUs."""

from __future__ import annotations

from typing import Any

from ... import cuda
from ..modules.module import Module

__all__ = ["DataParallel"]


class DataParallel(Module):
    """Holds `module` under that name and calls it. On a machine without a GPU, or with one, that is all.

    Splitting a batch over several GPUs is not there yet: NotImplementedError for more than one device.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        if not cuda.is_available():
            self.device_ids: list[Any] = []
            return
        self.device_ids = list(range(cuda.device_count()) if device_ids is None else device_ids)
        if len(self.device_ids) > 1:
            raise NotImplementedError(
                f"DataParallel over {len(self.device_ids)} GPUs is not there yet; give device_ids=[{self.device_ids[0]}]"
            )
        self.output_device = self.device_ids[0] if output_device is None else output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
