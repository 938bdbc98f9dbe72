"""Loss scaling on GPUs by its old name."""

from __future__ import annotations

from ... import amp
from ...amp.grad_scaler import OptState as OptState
from .autocast_mode import _deprecated

__all__ = ["GradScaler"]


class GradScaler(amp.GradScaler):
    """As `torch.amp.GradScaler('cuda', ...)`."""

    def __init__(
        self, init_scale: float = 65536.0, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        _deprecated("GradScaler")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
