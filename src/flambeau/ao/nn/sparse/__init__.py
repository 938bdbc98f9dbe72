"""`torch.ao.nn.sparse`: refused by name."""

from __future__ import annotations

from .._refused import publish_group

publish_group("sparse.quantized", __name__)
publish_group("sparse.quantized.dynamic", __name__)

__all__ = ["quantized"]
