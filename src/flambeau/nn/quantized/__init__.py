"""`torch.nn.quantized`: the older path of `torch.ao.nn.quantized`."""

from typing import TYPE_CHECKING

from ...ao._parts import older
from ...ao.nn import quantized as _home

__all__ = list(_home.__all__)

if TYPE_CHECKING:
    from ...ao.nn.quantized import *
else:
    __getattr__ = older(__name__, _home)
