"""`save`: torch's zip format, and its legacy format where asked for."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from ..core.context.tracing import refuse_in_trace
from ..core.dispatch.help import explain_functions as _explain_functions
from ..runtime import files
from .archive import Writer
from .legacy import MAGIC, VERSION
from .pickler import Plan, pickler
from .settings import settings


class Writes(Protocol):
    """What is written to, if it is no path."""

    def write(self, data: bytes, /) -> Any: ...


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def save(
    obj: object,
    f: str | os.PathLike[str] | Writes,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Save an object in torch's format, to a path or to whatever has a `write`.

    Tensors that share memory share it in the file; of a storage only the stretch that tensors refer to is written.
    A file is replaced only when the new one is written and synced: whatever goes wrong before, the old one stays. Pipes,
    devices and files in folders that cannot be written are written directly. `_disable_byteorder_record` puts the record of the
    byte order at the end, as in PyTorch.

    Raises RuntimeError if the folder does not exist or the file can't be written (an OSError, too), and what pickle raises
    for objects that cannot be pickled; then no file is written.
    """
    refuse_in_trace("writes a file (torch.save)")
    path = Path(os.fsdecode(f)) if isinstance(f, (str, os.PathLike)) else None
    if path is None and not hasattr(f, "write"):
        raise AttributeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got {type(f).__name__}"
        )
    if path is not None and not path.parent.exists():
        raise RuntimeError(f"Parent directory {path.parent} does not exist.")
    plan = Plan(legacy=not _use_new_zipfile_serialization, order_first=not _disable_byteorder_record)
    pickler(pickle_module, _Nowhere(), pickle_protocol, plan).dump(obj)
    plan.final = True
    stream = io.BytesIO()
    pickler(pickle_module, stream, pickle_protocol, plan).dump(obj)

    if path is None:
        _write(files.complete(cast("Writes", f).write), "archive", stream.getbuffer(), plan, pickle_protocol)
        if hasattr(f, "flush"):
            f.flush()
        return
    stem = path.name.rpartition(".")[0] or path.name
    name = stem if stem.isascii() and not stem.startswith(".") else "archive"
    files.replace(path, lambda file: _write(file.write, name, stream.getbuffer(), plan, pickle_protocol))


def _write(write: Any, name: str, pickled: Any, plan: Plan, protocol: int) -> None:
    if plan.legacy:
        _write_legacy(write, pickled, plan, protocol)
        return
    archive = Writer(write)
    archive.add(f"{name}/data.pkl", pickled)
    archive.add(f"{name}/.format_version", b"1")
    archive.add(f"{name}/.storage_alignment", b"64")
    if plan.order_first:
        archive.add(f"{name}/byteorder", sys.byteorder.encode())
    for held in plan.written:
        values = held.array().view(np.uint8)
        archive.add(f"{name}/data/{held.number}", np.zeros_like(values) if settings.skips else values)
    archive.add(f"{name}/version", b"3\n")
    if not plan.order_first:
        archive.add(f"{name}/byteorder", sys.byteorder.encode())
    archive.add(f"{name}/.data/serialization_id", archive.fingerprint().encode())
    archive.close()


def _write_legacy(write: Any, pickled: Any, plan: Plan, protocol: int) -> None:
    machine = {
        "protocol_version": VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for part in (MAGIC, VERSION, machine):
        write(pickle.dumps(part, protocol))
    write(pickled)
    write(pickle.dumps([str(held.number) for held in plan.written], protocol))
    for held in plan.written:
        data = held.array().view(np.uint8)
        write(struct.pack("=q", data.size // held.kind.itemsize))
        write(data.data)


_explain_functions([save], "torch")
