"""A module whose batches are spread over GPUs."""

from __future__ import annotations

from typing import Any

from ... import cuda
from ..modules.module import Module
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """`module(*inputs, **module_kwargs)`, with the batch (dimension `dim`) in one part for each device.

    The results lie joined on `output_device` (the first one). Without a GPU the module is called as it stands.
    """
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    devices = range(cuda.device_count()) if device_ids is None and cuda.is_available() else device_ids
    if not devices:
        return module(*given, **(module_kwargs or {}))
    devices = list(devices)
    parts, named = scatter_kwargs(given, module_kwargs, devices, dim)
    if not parts:
        parts, named = ((),), ({},)
    if len(devices) == 1:
        return module(*parts[0], **named[0])
    used = devices[: len(parts)]
    results = parallel_apply(replicate(module, used), parts, named, used)
    return gather(results, devices[0] if output_device is None else output_device, dim)


class DataParallel(Module):
    """Holds `module` under that name and calls it with `data_parallel`.

    Each call copies the weights to the other devices; `DistributedDataParallel` does not have to.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        if not cuda.is_available():
            self.device_ids: list[Any] = []
            return
        self.device_ids = list(range(cuda.device_count()) if device_ids is None else device_ids)
        self.output_device: Any = self.device_ids[0] if output_device is None else output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        return data_parallel(self.module, inputs, self.device_ids, self.output_device, self.dim, kwargs)
