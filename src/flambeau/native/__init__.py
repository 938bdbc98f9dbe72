"""The door to compiled CPU kernels, which XLA calls through its FFI.

The kernels are optional. Where the compiled library or oneDNN is missing, where `FLAMBEAU_NATIVE=0` is set, on other
platforms and for other dtypes, operators use their XLA form. `serves` is the one place where that is decided.
`FLAMBEAU_NATIVE=require` makes the import of flambeau an error where any of the kernels is missing. Of the instruction sets that they
are compiled for they use the processor's best, or with `FLAMBEAU_NATIVE_ISA=avx2` (or `baseline`) no better one than that.

A kernel comes through the door with a handler in a `.cc` of `native/` and its declaration (`kernel.py`). A symbol that the library
lacks takes its own kernel away, with a warning, and no other.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import tempfile
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

__all__ = [
    "available",
    "expect",
    "expected",
    "get_num_threads",
    "host_function",
    "isa",
    "missing",
    "opened",
    "portable",
    "serves",
    "set_num_threads",
    "version",
    "why_not",
]

_expected: dict[str, bool] = {}  # the symbols of kernels that were declared, and whether XLA calls them (or the host)
# What the door itself asks of the library; without these, none of it can be used.
_FUNCTIONS = (
    "flambeau_get_num_threads",
    "flambeau_has_bfloat16",
    "flambeau_isa",
    "flambeau_onednn_version",
    "flambeau_set_num_threads",
)
_LIBRARY = "libflambeau_native.so"
_ONEDNN = "libdnnl.so.3"
ISAS = ("baseline", "avx2", "avx512")  # in the library's order

_portable = jax.make_user_context(False)
_loading = threading.Lock()
_threads: int | None = None


class _Absent(Exception):
    """Why there are no kernels here, as somebody wanted it or as the platform has it."""


class _Broken(Exception):
    """Why the kernels that are here cannot be used, which nobody wanted."""


@dataclass(frozen=True)
class _Door:
    """What was found: the library, or the reason why there is none."""

    library: ctypes.CDLL | None = None
    reason: str = ""
    fault: str = ""  # what there is to warn of


def _mode() -> str:
    mode = os.environ.get("FLAMBEAU_NATIVE") or "1"
    if mode not in ("0", "1", "require"):
        raise ValueError(f"FLAMBEAU_NATIVE is to be 0, 1 or require, but it is {mode!r}")
    isa = os.environ.get("FLAMBEAU_NATIVE_ISA") or "avx512"
    if isa not in ISAS:
        raise ValueError(f"FLAMBEAU_NATIVE_ISA is to be {', '.join(ISAS[:-1])} or {ISAS[-1]}, but it is {isa!r}")
    return mode


def _path_of_onednn() -> Path:
    try:
        files = importlib.metadata.files("onednn-cpu-gomp") or []
    except importlib.metadata.PackageNotFoundError:
        raise _Broken("oneDNN is not installed (pip install onednn-cpu-gomp)") from None
    for file in files:
        path = Path(str(file.locate()))
        if path.name == _ONEDNN and path.exists():
            return path.resolve()
    raise _Broken(f"the installed onednn-cpu-gomp holds no {_ONEDNN}")


def _load() -> _Door:
    if _mode() == "0":
        raise _Absent("FLAMBEAU_NATIVE=0 is set")
    library = Path(__file__).with_name(_LIBRARY)
    if not library.exists():
        raise _Absent("this installation has no compiled kernels (built without a C++ compiler, or for this platform)")
    onednn = _path_of_onednn()
    # The library looks for oneDNN beside itself. With RTLD_DEEPBIND oneDNN finds the few OpenMP functions that it needs
    # in our library, whose threads are made for this, before it would look in libgomp.
    mode = os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND
    with tempfile.TemporaryDirectory(prefix="flambeau-") as together:
        for file in (library, onednn):
            (Path(together) / file.name).symlink_to(file)
        try:
            loaded = ctypes.CDLL(str(Path(together) / library.name), mode=mode)
        except OSError as error:
            raise _Broken(str(error).replace(together + os.sep, "")) from None
    if absent := [function for function in _FUNCTIONS if not hasattr(loaded, function)]:
        raise _Broken(f"{library.name} has no {', '.join(absent)}")
    loaded.flambeau_onednn_version.restype = ctypes.c_char_p
    loaded.flambeau_isa()  # it reads the environment as it is now
    if _threads is not None:
        loaded.flambeau_set_num_threads(_threads)
    return _Door(loaded, fault=_connect(loaded, _expected))


def _connect(library: ctypes.CDLL, names: Iterable[str]) -> str:
    """Make handlers known to XLA. What there is to warn of: those that the library lacks."""
    lacking = []
    for name in names:
        if not hasattr(library, name):
            lacking.append(name)
        elif _expected[name]:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    return f"{_LIBRARY} has no {', '.join(lacking)}: XLA's own operators are used there" if lacking else ""


@cache
def _opened() -> _Door:
    try:
        return _load()
    except _Absent as absent:
        return _Door(reason=str(absent))
    except Exception as error:  # a broken installation must not take the XLA forms down with it
        reason = str(error) if isinstance(error, _Broken) else f"{type(error).__name__}: {error}"
        reason = f"the compiled kernels do not load: {reason}"
        return _Door(reason=reason, fault=f"{reason}; XLA's own operators are used")


def _door() -> _Door:
    with _loading:
        first = not _opened.cache_info().currsize
        found = _opened()
    if first and found.fault:
        _warn(found.fault)
    return found


def _warn(fault: str) -> None:
    warnings.warn(f"flambeau's native kernels: {fault}", RuntimeWarning)


def _library() -> ctypes.CDLL | None:
    return _door().library


def opened() -> bool:
    """Whether somebody has asked for the compiled kernels already."""
    return bool(_opened.cache_info().currsize)


def available() -> bool:
    """Whether the compiled kernels can be used in this process; the first call loads them."""
    return _library() is not None


def why_not() -> str:
    """The reason why the compiled kernels cannot be used, or "" where they can."""
    return _door().reason


def expect(*names: str, by_host: bool = False) -> None:
    """Say which symbols a kernel needs of the library: handlers that XLA calls, or functions that the host calls itself.

    Raises ImportError where `FLAMBEAU_NATIVE=require` is set and one of them is missing.
    """
    _expected.update(dict.fromkeys(names, not by_host))
    required = _mode() == "require"
    if not required and not _opened.cache_info().currsize:
        return
    opening = not _opened.cache_info().currsize
    found = _opened()
    if found.library is None:
        fault = found.reason
    else:
        fault = found.fault if opening else _connect(found.library, names)
    if fault and required:
        raise ImportError(f"FLAMBEAU_NATIVE=require is set, and {fault}")
    if fault and found.library is not None:
        _warn(fault)


def expected() -> tuple[str, ...]:
    """The symbols of all kernels that are declared."""
    return tuple(_expected)


def missing() -> tuple[str, ...]:
    """The kernels that the compiled library lacks; empty where there is no library (`why_not` tells)."""
    library = _library()
    return () if library is None else tuple(name for name in _expected if not hasattr(library, name))


def host_function(name: str) -> Any:
    """A function of the library that the host calls itself, through ctypes; None where it is missing."""
    return getattr(_library(), name, None)


def version() -> str | None:
    """oneDNN's version, or None where the compiled kernels are not available."""
    library = _library()
    return None if library is None else library.flambeau_onednn_version().decode()


def isa() -> str | None:
    """The instruction set that the compiled kernels use, of `ISAS`; None where there are no kernels."""
    library = _library()
    return None if library is None else ISAS[library.flambeau_isa()]


def set_num_threads(threads: int) -> None:
    """How many threads a large problem may use; small ones stay on the thread that asks."""
    global _threads
    if threads < 1:
        raise ValueError(f"set_num_threads expects a positive number, but got {threads}")
    _threads = threads
    if _opened.cache_info().currsize:  # else it is told when it is loaded
        library = _library()
        if library is not None:
            library.flambeau_set_num_threads(threads)


def get_num_threads() -> int:
    """The number of threads that a large problem uses."""
    library = _library()
    if library is not None:
        return int(library.flambeau_get_num_threads())
    return _threads or processors()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Programs lowered inside use XLA's own operators only, so that they run where the kernels are not."""
    with _portable(True):
        yield


def serves(
    dtype: Any, target: str | None = None, dtypes: Collection[str] = ("float32", "bfloat16"), moves: bool = False
) -> bool:
    """Whether a CPU program that is lowered now should call the compiled kernels (this one, which takes `dtypes`) for arrays of
    this dtype. A kernel that only `moves` numbers takes bfloat16 on processors that can't compute with it, too."""
    name = np.dtype(dtype).name
    if _portable.value or name not in dtypes:
        return False
    door = _door()
    if door.library is None or not (target is None or hasattr(door.library, target)):
        return False
    return moves or name != "bfloat16" or bool(door.library.flambeau_has_bfloat16())
