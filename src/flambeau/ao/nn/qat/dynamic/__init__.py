"""`torch.ao.nn.qat.dynamic`: the linear layer for whose values the grid would be chosen at each call."""

from .modules import *
from .modules import __all__
