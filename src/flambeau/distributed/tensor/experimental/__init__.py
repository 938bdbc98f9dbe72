"""Plain tensors beside those on a mesh; the rest is not there yet."""

import contextlib
from collections.abc import Iterator

from ....core.array import devices
from ... import _later


@contextlib.contextmanager
def implicit_replication() -> Iterator[None]:
    """A context in which plain tensors that go together with those cut over processes are the same in all of them."""
    with devices.mixing.allowed():
        yield


context_parallel = _later.function("context_parallel", __name__)
local_map = _later.function("local_map", __name__)

__all__ = ["context_parallel", "implicit_replication", "local_map"]
