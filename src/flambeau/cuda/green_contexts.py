"""`GreenContext`: a part of a GPU's multiprocessors. JAX gives programs the whole device."""

from __future__ import annotations

from typing import Any

from ._devices import required

__all__ = ["GreenContext"]


class GreenContext:
    """A part of a GPU's multiprocessors: refused."""

    @staticmethod
    def create(*, num_sms: int | None = None, device_id: int | None = None, **options: Any) -> GreenContext:
        """Refused: JAX does not share out a GPU. AssertionError without a GPU."""
        required(device_id or 0)
        raise NotImplementedError("torch.cuda.GreenContext: JAX gives each program the whole GPU")

    @staticmethod
    def max_workqueue_concurrency(device_id: int | None = None) -> int:
        """Refused, as `create`."""
        required(device_id or 0)
        raise NotImplementedError("torch.cuda.GreenContext: JAX does not tell of a GPU's work queues")

    def set_context(self) -> None:
        """Refused, as `create`."""
        raise RuntimeError("torch.cuda.GreenContext: there is no context; JAX gives each program the whole GPU")

    Stream: Any
    pop_context = Stream = set_context
