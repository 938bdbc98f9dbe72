"""`torch.ao.nn.intrinsic`: layers that belong together, as one module. Those that round are refused by name."""

from __future__ import annotations

from .._refused import publish_group
from .modules import *
from .modules import __all__

for _group in ("intrinsic.qat", "intrinsic.quantized", "intrinsic.quantized.dynamic"):
    publish_group(_group, __name__)
