"""What goes between the loader and its workers: pickles, with the large memory of tensors and arrays beside them.

The memory travels as one anonymous file that both sides map (Linux's memfd), so a batch is copied once; elsewhere it
follows the pickle through the pipe. Functions and classes of `__main__`, which a worker can't import, go by value.
"""

from __future__ import annotations

import importlib.machinery
import io
import mmap
import multiprocessing.reduction
import os
import pickle
import sys
from collections import ChainMap
from multiprocessing.connection import Connection
from types import CodeType
from typing import Any, ClassVar

import numpy as np

from flambeau.core.tensor.tensor import Tensor, from_host
from flambeau.utils.data._utils.host import on_host

_LEAST = 1 << 16  # bytes from which memory goes beside the pickle
_LINE = 64  # what XLA wants arrays to be aligned to


def _tensor(memory: Any, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of a worker's memory."""
    import ml_dtypes  # noqa: F401  its names are dtypes of NumPy's from then on

    return from_host(np.frombuffer(memory, np.uint8).view(np.dtype(dtype)).reshape(shape))


def _pickler_class() -> Any:
    import cloudpickle  # type: ignore[import-untyped,unused-ignore]

    reduce_code = cloudpickle.Pickler.dispatch_table[CodeType]

    def code(obj: CodeType) -> Any:
        """With the name of its file, which a traceback shows."""
        make, parts = reduce_code(obj)
        return make, tuple(obj.co_filename if part == "<dynamic-code>" else part for part in parts)

    class Pickler(cloudpickle.Pickler):
        dispatch_table: ClassVar[Any] = ChainMap({CodeType: code}, cloudpickle.Pickler.dispatch_table)

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is Tensor and (values := on_host(obj)) is not None and values.dtype.kind != "O":
                flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
                return _tensor, (pickle.PickleBuffer(flat.data), values.dtype.name, values.shape)
            return super().reducer_override(obj)

    return Pickler


def by_value(*objects: Any) -> None:
    """See to it that what these are made of travels along, if it comes from a module that a worker could not import."""
    import cloudpickle

    for thing in objects:
        name = getattr(thing, "__module__", None) or ""
        module = sys.modules.get(name)
        if module is None or name in ("__main__", "builtins"):
            continue
        first = name.partition(".")[0]
        if first not in sys.builtin_module_names and importlib.machinery.PathFinder.find_spec(first) is None:
            cloudpickle.register_pickle_by_value(module)


class Packet:
    """An object, ready to be sent, any number of times."""

    def __init__(self, value: Any):
        file = io.BytesIO()
        held: list[pickle.PickleBuffer] = []
        _pickler_class()(file, protocol=5, buffer_callback=held.append).dump(value)
        self.pickled = file.getvalue()
        views = [buffer.raw() for buffer in held]
        self.sizes = [view.nbytes for view in views]
        self.views: list[Any] = views
        self.file: int | None = None
        if sum(self.sizes) >= _LEAST and hasattr(os, "memfd_create"):
            self.file = os.memfd_create("flambeau-batch", os.MFD_CLOEXEC)
            for view in views:
                _write(self.file, view, -view.nbytes % _LINE)
            self.views = []

    def send(self, connection: Connection, process: int | None) -> None:
        """Send it; `process` is the number of the one at the other end."""
        connection.send((len(self.pickled), self.sizes, self.file is not None))
        connection.send_bytes(self.pickled)
        if self.file is not None:
            multiprocessing.reduction.send_handle(connection, self.file, process)
        for view in self.views:
            if view.nbytes:
                connection.send_bytes(view)

    def close(self) -> None:
        """Let go of the memory here."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def _write(file: int, view: memoryview, padding: int) -> None:
    """All of it: a call writes 2 GiB at most."""
    at = 0
    while at < view.nbytes:
        at += os.write(file, view[at : at + (1 << 30)])
    if padding:
        os.write(file, bytes(padding))


def receive(connection: Connection) -> Any:
    """What was sent from the other end. EOFError if it is gone."""
    _, sizes, beside = connection.recv()
    pickled = connection.recv_bytes()
    views: list[Any]
    if beside:
        file = multiprocessing.reduction.recv_handle(connection)
        try:
            memory = mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
        finally:
            os.close(file)
        whole, at, views = memoryview(memory), 0, []
        for size in sizes:
            views.append(whole[at : at + size])
            at += size + -size % _LINE
    else:
        views = [bytearray(connection.recv_bytes()) if size else bytearray() for size in sizes]
    return pickle.loads(pickled, buffers=views)
