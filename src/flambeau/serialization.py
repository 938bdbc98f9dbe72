"""`torch.serialization`: saving and loading."""

from __future__ import annotations

import contextlib
import importlib
import os
import struct
import tempfile
from collections.abc import Callable
from typing import Any

from .checkpoint import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    load,
    names,
    safe_globals,
    save,
)
from .checkpoint.file_reader import PyTorchFileReader
from .checkpoint.settings import (
    LoadEndianness,
    get_crc32_options,
    get_default_load_endianness,
    get_default_mmap_options,
    location_tag,
    register_package,
    set_crc32_options,
    set_default_load_endianness,
    set_default_mmap_options,
    skip_data,
)
from .checkpoint.storages import NO_CUDA, StorageType, restorer
from .core.array import devices
from .core.tensor.memory import Memory
from .core.tensor.typed import CUDA_TENSOR_TYPES, TENSOR_TYPES

__all__ = [
    "LoadEndianness",
    "SourceChangeWarning",
    "StorageType",
    "add_safe_globals",
    "check_module_version_greater_or_equal",
    "clear_safe_globals",
    "default_restore_location",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "location_tag",
    "mkdtemp",
    "register_package",
    "safe_globals",
    "save",
    "set_crc32_options",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
    "validate_cuda_device",
    "validate_hpu_device",
]

_get_layout = names.get_layout
DEFAULT_PROTOCOL = 2
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
SHORT_SIZE, INT_SIZE, LONG_SIZE = map(struct.calcsize, ("=h", "=i", "=l"))
STORAGE_KEY_SEPARATOR = ","
FILE_LIKE = FileLike = Any  # a path, or a file
MAP_LOCATION = Callable[[Any, str], Any] | devices.device | str | dict[str, str] | None


class SourceChangeWarning(Warning):
    """PyTorch warns with it of classes that changed since they were saved; nothing here compares sources."""


def normalize_storage_type(storage_type: Any) -> Any:
    """The CPU's type of a storage type of any device."""
    return getattr(importlib.import_module("flambeau"), storage_type.__name__)


def storage_to_tensor_type(storage: Any) -> Any:
    """The type of the tensors that look into a storage: `FloatTensor` for a FloatStorage."""
    types = TENSOR_TYPES if storage.device.type == "cpu" else CUDA_TENSOR_TYPES
    return types[f"{storage.dtype.abbr}Tensor"]


def mkdtemp() -> Any:
    """A new folder, for a `with` block that deletes it."""
    return tempfile.TemporaryDirectory()


def check_module_version_greater_or_equal(
    module: Any, req_version_tuple: tuple[int, ...], error_if_malformed: bool = True
) -> bool:
    """Whether a module's `__version__` is at least this. RuntimeError if it can't be read, or a warning and True."""
    try:
        version = tuple(
            kind(part) for kind, part in zip(map(type, req_version_tuple), module.__version__.split("."), strict=False)
        )
        return version >= req_version_tuple
    except Exception as error:
        text = f"'{module}' module version string is malformed '{module.__version__}' and cannot be compared with tuple {req_version_tuple}"
        if error_if_malformed:
            raise RuntimeError(text) from error
        import warnings

        warnings.warn(text + ", but continuing assuming that requirement is met", stacklevel=2)
        return True


def default_restore_location(storage: Any, location: Any) -> Any:
    """The storage, moved to the place that is named. RuntimeError for a name that is no device."""
    try:
        if isinstance(storage, Memory):
            place = devices.device(str(location))
            if place.type == "cuda":
                validate_cuda_device(place)
            return storage.untyped().to(device=place)
        return restorer(None)(storage, str(location))
    except RuntimeError as error:
        if "don't know how to restore" not in str(error) and " device string" not in str(error):
            raise
        raise RuntimeError(
            f"don't know how to restore data location of {type(storage).__module__}.{type(storage).__qualname__} "
            f"(tagged with {location})"
        ) from error


def validate_cuda_device(location: Any) -> int:
    """The number of the GPU that a location names. RuntimeError if it is not there."""
    import flambeau

    number = devices.device(location).index or 0
    if not flambeau.cuda.is_available():
        raise RuntimeError(NO_CUDA)
    if number >= flambeau.cuda.device_count():
        raise RuntimeError(
            f"Attempting to deserialize object on CUDA device {number} but torch.cuda.device_count() is "
            f"{flambeau.cuda.device_count()}. Please use torch.load with map_location to map your storages to an existing device."
        )
    return number


def validate_hpu_device(location: Any) -> int:
    """Refused with RuntimeError: there are no such devices."""
    raise RuntimeError(
        "Attempting to deserialize object on a HPU device, which is not here: load with map_location='cpu'"
    )


def _is_zipfile(f: Any) -> bool:
    """Whether what stands in a file from here on is an archive; the file is read from the same place afterwards."""
    start = f.tell()
    found = f.read(4) == b"PK\x03\x04"
    f.seek(start)
    return bool(found)


def _open_file_like(name_or_buffer: Any, mode: str) -> Any:
    """For a `with` block: a file, opened by its path, or one that is open and stays so."""
    if isinstance(name_or_buffer, (str, os.PathLike)):
        return open(name_or_buffer, mode)
    if "w" not in mode and not all(hasattr(name_or_buffer, name) for name in ("seek", "tell")):
        raise AttributeError("a file is read that has seek and tell; read it into a buffer like io.BytesIO first")
    return contextlib.nullcontext(name_or_buffer)


def _open_zipfile_reader(name_or_buffer: Any) -> Any:
    """For a `with` block: the archive's records."""
    return contextlib.nullcontext(PyTorchFileReader(name_or_buffer))


def _is_torchscript_zip(zip_file: Any) -> bool:
    """Whether an archive holds a program of TorchScript."""
    return "constants.pkl" in zip_file.get_all_records()


def _check_dill_version(pickle_module: Any) -> None:
    """ValueError for a dill before 0.3.1, which cannot write what is asked of it."""
    if getattr(pickle_module, "__name__", "") == "dill" and not check_module_version_greater_or_equal(
        pickle_module, (0, 3, 1)
    ):
        raise ValueError(f"dill {pickle_module.__version__} is too old: 0.3.1 or later is needed")
