"""The door to compiled CPU kernels, which XLA calls through its FFI.

The kernels are optional. Where the compiled library or oneDNN is missing, where `FLAMBEAU_NATIVE=0` is set, on other
platforms and for other dtypes, operators use their XLA form. `serves` is the one place where that is decided.

An operator comes through the door with a handler in `native/` whose symbol is listed in `_TARGETS`, and a lowering
rule made by `lowering`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
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
    "lowering",
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
_LIBRARY = "libflambeau_native.so"
_ONEDNN = "libdnnl.so.3"

_portable = jax.make_user_context(False)
_loading = threading.Lock()
_threads: int | None = None


class _Missing(Exception):
    """Why the native kernels cannot be used."""


def _path_of_onednn() -> Path:
    try:
        files = importlib.metadata.files("onednn-cpu-gomp") or []
    except importlib.metadata.PackageNotFoundError:
        raise _Missing("oneDNN is not installed (pip install onednn-cpu-gomp)") from None
    for file in files:
        path = Path(str(file.locate()))
        if path.name == _ONEDNN and path.exists():
            return path.resolve()
    raise _Missing(f"the installed onednn-cpu-gomp holds no {_ONEDNN}")


def _load() -> ctypes.CDLL:
    if os.environ.get("FLAMBEAU_NATIVE", "1") == "0":
        raise _Missing("FLAMBEAU_NATIVE=0 is set")
    library = Path(__file__).with_name(_LIBRARY)
    if not library.exists():
        raise _Missing("this installation has no compiled kernels (built without a C++ compiler, or for this platform)")
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
            raise _Missing(f"the compiled kernels do not load: {str(error).replace(together + os.sep, '')}") from None
    for target in _TARGETS:
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(loaded, target)), platform="cpu")
    loaded.flambeau_onednn_version.restype = ctypes.c_char_p
    if _threads is not None:
        loaded.flambeau_set_num_threads(_threads)
    return loaded


@cache
def _loaded_or_reason() -> ctypes.CDLL | str:
    try:
        return _load()
    except _Missing as reason:
        return str(reason)
    except Exception as error:  # a broken installation must not take the XLA forms down with it
        return f"the compiled kernels do not load: {type(error).__name__}: {error}"


def _library() -> ctypes.CDLL | None:
    with _loading:
        found = _loaded_or_reason()
    return None if isinstance(found, str) else found


def available() -> bool:
    """Whether the compiled kernels can be used in this process; the first call loads them."""
    return _library() is not None


def why_not() -> str:
    """The reason why the compiled kernels cannot be used, or "" where they can."""
    with _loading:
        found = _loaded_or_reason()
    return found if isinstance(found, str) else ""


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
    if _loaded_or_reason.cache_info().currsize:  # else it is told when it is loaded
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


def serves(dtype: Any) -> bool:
    """Whether a CPU program that is lowered now should call the compiled kernels for arrays of this dtype."""
    dtype = np.dtype(dtype)
    if _portable.value or dtype.name not in ("float32", "bfloat16"):
        return False
    library = _library()
    if library is None:
        return False
    return dtype.name == "float32" or bool(library.flambeau_has_bfloat16())


def lowering(
    primitive: Any,
    target: str,
    xla_form: Callable,
    orders: Callable,
    attributes: Callable,
    fits: Callable,
    xla_cpu_form: Callable | None = None,
) -> None:
    """Lower `primitive` to the handler `target` on a CPU that it serves, and to `xla_form(*arrays, **params)` elsewhere.

    A CPU that the handler does not serve gets `xla_cpu_form` where that is given.
    `orders(*ndims)` gives the dimensions of the arguments and of the result in the order that the handler takes them,
    `attributes(**params)` what the handler is told, and `fits(*shapes, **params)` whether it can take shapes like these
    (of the arguments and of the result).
    """
    assert target in _TARGETS

    def native(*arrays: jax.Array, result: Any, **params: Any) -> jax.Array:
        # Transposes rather than layouts of the call: XLA then sees row-major arrays throughout, and most of what it puts
        # between two such calls (sums above all) copies arrays that lie in any other order.
        *given, made = orders(*(a.ndim for a in arrays), len(result.shape))
        turned = (jax.numpy.transpose(a, order) for a, order in zip(arrays, given, strict=True))
        call = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(tuple(result.shape[d] for d in made), result.dtype))
        return jax.numpy.transpose(call(*turned, **attributes(**params)), tuple(map(int, np.argsort(made))))

    choice(primitive, native, xla_form, fits, xla_cpu_form)


def choice(
    primitive: Any, native: Callable, xla_form: Callable, fits: Callable, xla_cpu_form: Callable | None = None
) -> None:
    """Lower `primitive` to `native(*arrays, result=..., **params)` on a CPU that it serves, and to the XLA forms elsewhere.

    `result` is the result's abstract value, or a list of them where the primitive has several. `fits` as for `lowering`.
    """
    several = primitive.multiple_results
    elsewhere = mlir.lower_fun(xla_form, multiple_results=several)
    xla_on_cpu = mlir.lower_fun(xla_cpu_form or xla_form, multiple_results=several)
    native_rule = mlir.lower_fun(native, multiple_results=several)

    def on_cpu(ctx: Any, *args: Any, **params: Any) -> Any:
        shapes = [aval.shape for aval in (*ctx.avals_in, *ctx.avals_out)]
        exported = getattr(getattr(ctx.module_context, "lowering_parameters", None), "for_export", False)
        if not exported and serves(ctx.avals_in[0].dtype) and fits(*shapes, **params):
            return native_rule(ctx, *args, result=ctx.avals_out if several else ctx.avals_out[0], **params)
        return xla_on_cpu(ctx, *args, **params)

    mlir.register_lowering(primitive, elsewhere)
    mlir.register_lowering(primitive, on_cpu, platform="cpu")
