"""`torch.multiprocessing.queue`: Python's queues, which pass tensors by value."""

from __future__ import annotations

import io
import pickle
from multiprocessing.queues import Queue, SimpleQueue
from multiprocessing.reduction import ForkingPickler
from typing import Any

__all__ = ["ConnectionWrapper", "ForkingPickler", "Queue", "SimpleQueue"]


class ConnectionWrapper:
    """A connection whose `send` and `recv` pass tensors."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn

    def send(self, obj: Any) -> None:
        """Send an object as `ForkingPickler` writes it."""
        buffer = io.BytesIO()
        ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(obj)
        self.conn.send_bytes(buffer.getvalue())

    def recv(self) -> Any:
        """The next object."""
        return pickle.loads(self.conn.recv_bytes())

    def __getattr__(self, name: str) -> Any:
        if "conn" in self.__dict__:
            return getattr(self.conn, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute 'conn'")
