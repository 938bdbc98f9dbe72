"""A linear layer that rounds its weight while it trains."""

from __future__ import annotations

from typing import Any

from ......core.dispatch.messages import message
from ...modules.linear import Linear as _Linear

__all__ = ["Linear"]


class Linear(_Linear):
    """A linear layer whose weight is rounded before it is used; its input's grid would be chosen at each call."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None, device: Any = None, dtype: Any = None
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, qconfig, device, dtype)
        seen = getattr(qconfig.activation(), "activation_post_process", None)
        if getattr(seen, "averaging_constant", None) != 1:
            raise ValueError(message("qat_dynamic_memory"))
