"""The door to compiled CPU kernels, which XLA calls through its FFI.

The kernels are optional. Where the compiled library or oneDNN is missing, where `FLAMBEAU_NATIVE=0` is set, on other
platforms and for other dtypes, operators use their XLA form. `serves` is the one place where that is decided.
`FLAMBEAU_NATIVE=require` makes the import of flambeau an error where any of the kernels is missing.

An operator comes through the door with a handler in `native/` whose symbol is listed in `_TARGETS`, and a lowering
rule made by `lowering`. A symbol that the library lacks takes its own kernel away, with a warning, and no other.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.interpreters import mlir

__all__ = [
    "available",
    "choice",
    "get_num_threads",
    "host_function",
    "lowering",
    "missing",
    "portable",
    "serves",
    "set_num_threads",
    "version",
    "why_not",
]

# The handlers that the library exports; XLA knows them by the same names.
_TARGETS = (
    "flambeau_convolution",
    "flambeau_convolution_input",
    "flambeau_convolution_weight",
    "flambeau_moments",
    "flambeau_product",
    "flambeau_elementwise",
    "flambeau_paired_sums",
    "flambeau_max_pool",
    "flambeau_max_pool_places",
    "flambeau_pool_take",
    "flambeau_pool_put",
)
# What the host calls directly, without XLA.
_HOST_FUNCTIONS = (
    "flambeau_random_below",
    "flambeau_random_doubles",
    "flambeau_random_floats",
    "flambeau_random_words",
)
# What the door itself asks of the library; without these, none of it can be used.
_FUNCTIONS = (
    "flambeau_get_num_threads",
    "flambeau_has_bfloat16",
    "flambeau_onednn_version",
    "flambeau_set_num_threads",
)
_LIBRARY = "libflambeau_native.so"
_ONEDNN = "libdnnl.so.3"

_portable = jax.make_user_context(False)
_loading = threading.Lock()
_threads: int | None = None


class _Absent(Exception):
    """Why there are no kernels here, as somebody wanted it or as the platform has it."""


class _Broken(Exception):
    """Why the kernels that are here cannot be used, which nobody wanted."""


@dataclass(frozen=True)
class _Door:
    """What was found: the library, or the reason why there is none; and which kernels it lacks."""

    library: ctypes.CDLL | None = None
    reason: str = ""
    missing: tuple[str, ...] = ()
    fault: str = ""  # what there is to warn of


def _mode() -> str:
    mode = os.environ.get("FLAMBEAU_NATIVE") or "1"
    if mode not in ("0", "1", "require"):
        raise ValueError(f"FLAMBEAU_NATIVE is to be 0, 1 or require, but it is {mode!r}")
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
    if _threads is not None:
        loaded.flambeau_set_num_threads(_threads)
    missing = tuple(name for name in (*_TARGETS, *_HOST_FUNCTIONS) if not hasattr(loaded, name))
    for target in _TARGETS:
        if target not in missing:
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(loaded, target)), platform="cpu")
    fault = f"{library.name} has no {', '.join(missing)}: XLA's own operators are used there" if missing else ""
    return _Door(loaded, missing=missing, fault=fault)


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
        warnings.warn(f"flambeau's native kernels: {found.fault}", RuntimeWarning)
    return found


def _library() -> ctypes.CDLL | None:
    return _door().library


def available() -> bool:
    """Whether the compiled kernels can be used in this process; the first call loads them."""
    return _library() is not None


def why_not() -> str:
    """The reason why the compiled kernels cannot be used, or "" where they can."""
    return _door().reason


def missing() -> tuple[str, ...]:
    """The kernels that the compiled library lacks; empty where there is no library (`why_not` tells)."""
    return _door().missing


def host_function(name: str) -> Any:
    """A function of the library that the host calls itself, through ctypes; None where it is missing."""
    door = _door()
    return None if door.library is None or name in door.missing else getattr(door.library, name)


def version() -> str | None:
    """oneDNN's version, or None where the compiled kernels are not available."""
    library = _library()
    return None if library is None else library.flambeau_onednn_version().decode()


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
    return _threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Programs lowered inside use XLA's own operators only, so that they run where the kernels are not."""
    with _portable(True):
        yield


def serves(dtype: Any, target: str | None = None) -> bool:
    """Whether a CPU program that is lowered now should call the compiled kernels (this one) for arrays of this dtype."""
    dtype = np.dtype(dtype)
    if _portable.value or dtype.name not in ("float32", "bfloat16"):
        return False
    door = _door()
    if door.library is None or target in door.missing:
        return False
    return dtype.name == "float32" or bool(door.library.flambeau_has_bfloat16())


def lowering(
    primitive: Any,
    xla_form: Callable,
    orders: Callable,
    attributes: Callable,
    fits: Callable,
    xla_cpu_form: Callable | None = None,
) -> None:
    """Lower `primitive` to the handler of its name on a CPU that it serves, and to `xla_form(*arrays, **params)` elsewhere.

    A CPU that the handler does not serve gets `xla_cpu_form` where that is given.
    `orders(*ndims)` gives the dimensions of the arguments and of the result in the order that the handler takes them,
    `attributes(**params)` what the handler is told, and `fits(*shapes, **params)` whether it can take shapes like these
    (of the arguments and of the result).
    """

    def native(*arrays: jax.Array, result: Any, **params: Any) -> jax.Array:
        # Transposes rather than layouts of the call: XLA then sees row-major arrays throughout, and most of what it puts
        # between two such calls (sums above all) copies arrays that lie in any other order.
        *given, made = orders(*(a.ndim for a in arrays), len(result.shape))
        turned = (jax.numpy.transpose(a, order) for a, order in zip(arrays, given, strict=True))
        call = jax.ffi.ffi_call(
            primitive.name, jax.ShapeDtypeStruct(tuple(result.shape[d] for d in made), result.dtype)
        )
        return jax.numpy.transpose(call(*turned, **attributes(**params)), tuple(map(int, np.argsort(made))))

    choice(primitive, native, xla_form, fits, xla_cpu_form)


def choice(
    primitive: Any,
    native: Callable,
    xla_form: Callable,
    fits: Callable,
    xla_cpu_form: Callable | None = None,
    target: Callable[..., str] | None = None,
) -> None:
    """Lower `primitive` to `native(*arrays, result=..., **params)` on a CPU that it serves, and to the XLA forms elsewhere.

    `result` is the result's abstract value, or a list of them where the primitive has several. `fits` as for `lowering`.
    `native` calls the handler of the primitive's name, or of the name that `target(**params)` gives.
    """
    several = primitive.multiple_results
    elsewhere = mlir.lower_fun(xla_form, multiple_results=several)
    xla_on_cpu = mlir.lower_fun(xla_cpu_form or xla_form, multiple_results=several)
    native_rule = mlir.lower_fun(native, multiple_results=several)

    def on_cpu(ctx: Any, *args: Any, **params: Any) -> Any:
        shapes = [aval.shape for aval in (*ctx.avals_in, *ctx.avals_out)]
        exported = getattr(getattr(ctx.module_context, "lowering_parameters", None), "for_export", False)
        handler = primitive.name if target is None else target(**params)
        if not exported and serves(ctx.avals_in[0].dtype, handler) and fits(*shapes, **params):
            return native_rule(ctx, *args, result=ctx.avals_out if several else ctx.avals_out[0], **params)
        return xla_on_cpu(ctx, *args, **params)

    mlir.register_lowering(primitive, elsewhere)
    mlir.register_lowering(primitive, on_cpu, platform="cpu")


def _require() -> None:
    found = _door()
    if found.reason or found.missing:
        raise ImportError(f"FLAMBEAU_NATIVE=require is set, and {found.reason or found.fault}")


if _mode() == "require":
    _require()
