"""`torch.quantization`: the older path of `torch.ao.quantization`."""

from typing import TYPE_CHECKING

from ..ao import quantization as _quantization
from ..ao._parts import older

__all__ = list(_quantization.__all__)

if TYPE_CHECKING:
    from ..ao.quantization import *
else:
    __getattr__ = older(__name__, _quantization)
