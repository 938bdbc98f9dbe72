"""`torch.ao.nn.intrinsic.qat`: layers that belong together, as one module that rounds its weight while it trains."""

from .modules import *
from .modules import __all__
