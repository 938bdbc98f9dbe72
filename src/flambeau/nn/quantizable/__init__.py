"""`torch.nn.quantizable`: the older path of `torch.ao.nn.quantizable`."""

from typing import TYPE_CHECKING

from ...ao._parts import older
from ...ao.nn import quantizable as _home

__all__ = list(_home.__all__)

if TYPE_CHECKING:
    from ...ao.nn.quantizable import *
else:
    __getattr__ = older(__name__, _home)
