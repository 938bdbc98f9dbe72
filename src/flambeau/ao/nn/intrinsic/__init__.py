"""`torch.ao.nn.intrinsic`: layers that belong together, as one module. Those of quantized tensors are refused by name."""

from __future__ import annotations

from .._refused import publish_group
from . import qat
from .modules import *
from .modules import __all__

for _group in ("intrinsic.quantized", "intrinsic.quantized.dynamic"):
    publish_group(_group, __name__)
