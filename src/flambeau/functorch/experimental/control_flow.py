"""`functorch.experimental.control_flow`: `torch.cond` and `map`, by the place that they once had."""

from ..._higher_order_ops.cond import cond
from ..._higher_order_ops.map import map

__all__ = ["cond", "map"]
