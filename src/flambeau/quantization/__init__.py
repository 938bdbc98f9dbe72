"""`torch.quantization`: the older name of `torch.ao.quantization`."""

from typing import TYPE_CHECKING, Any

from ..ao import quantization as _quantization

__all__ = list(_quantization.__all__)


if TYPE_CHECKING:
    from ..ao.quantization import *
else:

    def __getattr__(name: str) -> Any:
        return getattr(_quantization, name)


_quantization.Part.publish(__name__)
