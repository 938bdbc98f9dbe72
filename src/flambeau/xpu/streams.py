"""The names of `torch.xpu.streams`."""

from . import Event, Stream  # type: ignore[attr-defined]

__all__ = ["Event", "Stream"]
