"""`load`: torch's zip and legacy files."""

from __future__ import annotations

import io
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.context import doors
from ..core.context.tracing import refuse_in_trace
from ..core.dispatch.help import explain_functions as _explain_functions
from ..core.dispatch.messages import message
from ..runtime import files
from . import allowed
from .archive import MAGIC, Reader, aligned, fill, missing
from .errors import damaged
from .legacy import LegacyFile
from .reader import Storages
from .settings import LoadEndianness, settings
from .storages import restorer
from .trusted import unpickler
from .unpickler import Inspector, Unpickler


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Load what `torch.save` wrote, to a path or a seekable binary file.

    With `weights_only` (the default) nothing in the file is executed: tensors, parameters and plain data are loaded,
    any other name is refused unless `add_safe_globals` allows it. `map_location` (a device, its name, a dict of names,
    or a function of storage and location) says where the tensors go. `mmap=True` leaves the values in the file until
    they are used; the file must not be cut meanwhile. The environment variable TORCH_FORCE_WEIGHTS_ONLY_LOAD=1 stands above
    `weights_only`, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 takes the place of its default.

    Raises pickle.UnpicklingError for a pickle that is damaged or refused, RuntimeError for any other damage, EOFError
    for an empty file.
    """
    refuse_in_trace("reads a file (torch.load)")
    forced = _forced()
    mmap = settings.mmap if mmap is None else mmap
    if weights_only is None:
        weights_only = pickle_module is None if forced is None else forced
        if forced is False:
            warnings.warn(
                f"Environment variable {_FORCE_NO} detected, since the"
                f"`weights_only` argument was not explicitly passed to `torch.load`, forcing weights_only=False.",
                UserWarning,
                stacklevel=2,
            )
    elif forced:
        weights_only = True
    if weights_only and pickle_module is not None:
        what = "pickle_module"
        raise RuntimeError(
            f"Can not safely load weights when explicit {what} is specified: one executes code, and weights_only=True does "
            "without"
        )
    if weights_only and pickle_load_args:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", UserWarning, stacklevel=2)
        for name in pickle_load_args.keys() - {"encoding"}:
            raise TypeError(f"Unpickler.__init__() got an unexpected keyword argument '{name}'")
    pickle_load_args.setdefault("encoding", "utf-8")

    def unpickle(data: Any, position: int, storages: Callable[[Any], Any]) -> Any:
        if weights_only:
            return Unpickler(data, storages, position).load()
        stream = io.BytesIO(memoryview(data)[position:])
        return unpickler(pickle_module or pickle, stream, storages, **pickle_load_args).load()

    restore = restorer(map_location)
    try:
        return _load(f, restore, unpickle, mmap, weights_only)
    except _Scripted:
        if weights_only:
            told = message("torchscript_weights_only")
            raise RuntimeError(f"{told} It holds code: pass weights_only=False if you trust it") from None
        warnings.warn(message("torchscript_dispatched"), UserWarning, stacklevel=2)
        return doors.scripted(f, map_location)
    except pickle.UnpicklingError as e:
        if weights_only:
            e.args = (f"Weights only load failed. {e}",)
        raise


class _Scripted(Exception):
    """The file is one of `torch.jit.save`."""


_FORCE, _FORCE_NO = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def _forced() -> bool | None:
    """What the environment says about `weights_only`. RuntimeError if it says both."""
    force, force_no = (os.environ.get(name, "0").lower() in ("1", "y", "yes", "true") for name in (_FORCE, _FORCE_NO))
    if force and force_no:
        raise RuntimeError(f"Only one of `{_FORCE}` or `{_FORCE_NO}` should be set, but both were set.")
    return True if force else False if force_no else None


def _load(f: Any, restore: Any, unpickle: Any, mmap: bool | None, weights_only: bool) -> Any:
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _load_file(file, restore, unpickle, mmap, weights_only)
    if mmap:
        raise ValueError(f"f must be a file path in order to use the mmap argument, got {type(f).__name__}")
    for needed in ("seek", "tell", "read"):
        if not hasattr(f, needed):
            raise AttributeError(
                f"{type(f).__name__!r} object has no attribute '{needed}'. torch.load needs a path or a binary file that is "
                "seekable. Please read the data into a buffer like io.BytesIO, and load from that"
            )
    return _load_file(f, restore, unpickle, False, weights_only)


def _load_file(file: Any, restore: Any, unpickle: Any, mmap: bool | None, weights_only: bool) -> Any:
    start = file.tell()
    head = file.read(len(MAGIC))
    if not isinstance(head, bytes):
        kind, what = type(head).__name__, "torch.load needs a binary file: open it with mode 'rb'"
        if weights_only:
            raise AssertionError(f"Expected bytes, got {kind}: {what}")
        raise TypeError(f"a bytes-like object is required, not '{kind}': {what}")
    file.seek(start)
    if head == MAGIC:
        mapped = files.mapped(file) if mmap else None
        archive = Reader(file, mapped)
        if "header.json" in archive.records:
            file.seek(start)
            raise _Scripted
        result = _load_zip(archive, restore, unpickle, bool(mmap))
        file.seek(0, 2)
        return result
    if mmap:
        raise RuntimeError(message("mmap_of_legacy_file", f=file.name))
    data = _rest(file)
    if not len(data):
        raise EOFError("Ran out of input: the file is empty, there is no checkpoint in it")
    old = LegacyFile(data)
    result = old.load(restore, unpickle)
    file.seek(start + old.end)
    return result


def _rest(file: Any) -> Any:
    """What is left of a file."""
    start = file.tell()
    file.seek(0, 2)
    data = aligned(max(file.tell() - start, 0))
    file.seek(start)
    return data[: fill(file, data)].data


def _prefix(archive: Reader) -> str:
    """The folder in the archive that holds the checkpoint."""
    found = [name for name in archive.records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if not found:
        raise missing("data.pkl")
    if len(found) != 1:
        raise damaged(f"it should hold one data.pkl, and holds {len(found)}")
    prefix = found[0].removesuffix("data.pkl")
    if prefix + "constants.pkl" in archive.records:
        raise RuntimeError("this is a TorchScript archive: code for another machine, which torch.load does not read")
    return prefix


def _load_zip(archive: Reader, restore: Any, unpickle: Any, lazily: bool) -> Any:
    prefix = _prefix(archive)
    order = "little"
    if settings.endianness is not None:
        order = {LoadEndianness.BIG: "big", LoadEndianness.LITTLE: "little"}.get(settings.endianness, sys.byteorder)
    if prefix + "byteorder" in archive.records:
        order = bytes(archive.read(prefix + "byteorder")[:16]).decode("latin1").strip()
        if order not in ("little", "big"):
            raise damaged(f"its byte order should be little or big, got {order!r}")

    def values(key: Any) -> np.ndarray:
        record = f"{prefix}data/{key}"
        return np.zeros(archive.size(record), np.uint8) if settings.skips else archive.read(record, lazily)

    storages = Storages(
        values,
        lambda key: archive.size(f"{prefix}data/{key}"),
        restore,
        swapped=order != sys.byteorder,
    )
    made = unpickle(archive.read(prefix + "data.pkl").data, 0, storages)
    storages.settle()
    return made


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a file in torch's zip format that `load` would refuse, without loading anything."""
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return get_unsafe_globals_in_checkpoint(file)
    archive = Reader(f)
    inspector = Inspector(archive.read(_prefix(archive) + "data.pkl").data)
    inspector.load()
    return [f"{module}.{name}" for module, name in inspector.globals if allowed.find(module, name) is None]


_explain_functions([load], "torch")
