"""`torch.multiprocessing.queue`: Python's queues, which pass tensors by value."""

from multiprocessing.queues import Queue, SimpleQueue
from multiprocessing.reduction import ForkingPickler

__all__ = ["ForkingPickler", "Queue", "SimpleQueue"]
