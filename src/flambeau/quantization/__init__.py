"""`torch.quantization`: the older name of `torch.ao.quantization`."""

from typing import Any

from ..ao import quantization as _quantization

__all__ = list(_quantization.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_quantization, name)


_quantization.Part.publish(__name__)
