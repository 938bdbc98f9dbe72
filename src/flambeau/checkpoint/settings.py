"""What `torch.serialization` sets for all files: the byte order of old ones, and whether values are written at all."""

from __future__ import annotations

import contextlib
import enum
import mmap
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ..core.array import devices
from ..runtime.settings import asks_setting, changes_setting


class LoadEndianness(enum.Enum):
    """In which order the bytes of numbers are, in files that do not say it."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class _Settings(threading.local):
    endianness: LoadEndianness | None = None
    crc32 = True
    mmap: bool = False
    skips = False


settings: _Settings = _Settings()


@asks_setting
def get_default_load_endianness() -> LoadEndianness | None:
    """What `set_default_load_endianness` was given; None: the order of this machine."""
    return settings.endianness


@changes_setting
def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Take files that do not say their byte order to have this one. TypeError for anything else."""
    if not isinstance(endianness, LoadEndianness) and endianness is not None:
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    settings.endianness = endianness


@asks_setting
def get_crc32_options() -> bool:
    """What `set_crc32_options` was given."""
    return settings.crc32


@changes_setting
def set_crc32_options(compute_crc32: bool) -> None:
    """Whether archives may be without true checksums. It is remembered; those written here have them always."""
    settings.crc32 = compute_crc32


def get_default_mmap_options() -> int | None:
    """`mmap.MAP_PRIVATE`: what is loaded with `mmap=True` never writes into the file."""
    return getattr(mmap, "MAP_PRIVATE", None)


class set_default_mmap_options(contextlib.ContextDecorator):
    """`mmap.MAP_PRIVATE` is the only way. ValueError for no such flag, NotImplementedError for `mmap.MAP_SHARED`."""

    def __init__(self, flags: int):
        if flags not in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            raise ValueError(
                f"Invalid argument in function set_default_mmap_options, expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, but got {flags}"
            )
        if flags == mmap.MAP_SHARED:
            raise NotImplementedError(
                "set_default_mmap_options: mmap.MAP_SHARED is not supported, for XLA's arrays can't be written to in a file; "
                "save the tensors again"
            )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


@contextlib.contextmanager
def skip_data(materialize_fake_tensors: bool = False) -> Iterator[None]:
    """In the `with` block `torch.save` leaves room for the tensors' values, and `torch.load` leaves them: both give zeros."""
    before, settings.skips = settings.skips, True
    try:
        yield
    finally:
        settings.skips = before


# --- where storages go ------------------------------------------------------------------------------------------------

_registered: list[tuple[int, Callable[[Any], str | None], Callable[[Any, str], Any]]] = []


def register_package(
    priority: int, tagger: Callable[[Any], str | None], deserializer: Callable[[Any, str], Any]
) -> None:
    """Have storages placed by a function: `deserializer(storage, location)` returns one, or None to leave it to others.

    Those with a low `priority` are asked first, and before the devices that there are. `tagger(storage)` is what
    `location_tag` says.
    """
    _registered.append((priority, tagger, deserializer))
    _registered.sort(key=lambda entry: entry[0])


def location_tag(storage: Any) -> str:
    """The name of the place where a storage lies, such as 'cpu' or 'cuda:0'."""
    return location_of(lambda: storage, storage.device)


def location_of(storage: Callable[[], Any], device: Any) -> str:
    """The same, for a storage that is made when somebody registered for it."""
    for _, tagger, _ in _registered:
        if (tag := tagger(storage())) is not None:
            return tag
    place = devices.device(device)
    return str(place) if place.type == "cuda" else "cpu"


def placed(storage: Any, location: str) -> Any:
    """What the registered functions make of a storage; None if they leave it alone."""
    for _, _, deserializer in _registered:
        if (found := deserializer(storage, location)) is not None:
            return found
    return None
