"""When NVIDIA's profiler looks: refused, since JAX does not hand out CUDA's runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ._devices import required

__all__ = ["profile", "start", "stop"]


_CURE = "run it under nsys without a capture range, or use torch.profiler"


def start() -> None:
    """Refused. AssertionError without a GPU."""
    required()
    raise NotImplementedError(f"torch.cuda.profiler.start: {_CURE}")


def stop() -> None:
    """Refused. AssertionError without a GPU."""
    required()
    raise NotImplementedError(f"torch.cuda.profiler.stop: {_CURE}")


@contextlib.contextmanager
def profile() -> Iterator[None]:
    """Refused. AssertionError without a GPU."""
    start()
    yield
