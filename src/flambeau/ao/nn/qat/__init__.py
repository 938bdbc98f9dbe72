"""`torch.ao.nn.qat`: layers that round their weights while they train."""

from . import dynamic
from .modules import *
from .modules import __all__
