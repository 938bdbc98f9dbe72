"""`torch.nn.qat`: the older path of `torch.ao.nn.qat`."""

from typing import TYPE_CHECKING

from ...ao._parts import older
from ...ao.nn import qat as _home

__all__ = list(_home.__all__)

if TYPE_CHECKING:
    from ...ao.nn.qat import *
else:
    __getattr__ = older(__name__, _home)
