"""What tensors cut over devices send each other."""

from typing import Any

from ... import _later
from ._comm_mode import CommDebugMode

__all__ = ["CommDebugMode", "visualize_sharding"]

visualize_sharding: Any = _later.function("visualize_sharding", __name__)
