"""`torch.nn.intrinsic`: the older path of `torch.ao.nn.intrinsic`."""

from typing import TYPE_CHECKING

from ...ao._parts import older
from ...ao.nn import intrinsic as _home

__all__ = list(_home.__all__)

if TYPE_CHECKING:
    from ...ao.nn.intrinsic import *
else:
    __getattr__ = older(__name__, _home)
