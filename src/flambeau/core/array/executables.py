"""Programs of XLA on the disk, found by what they compute: a new process neither traces, lowers nor compiles them.

JAX's own cache is asked with the lowered program, so that a function has to be traced and lowered before it is found: two thirds of
what a large model's first step takes. Here an entry's key is what the caller says that the program is (its `identity`: an operator,
its static arguments, which derivative), the arguments (shapes, dtypes, layouts) and all else on which tracing and compiling hang
(`_surroundings`, `_state`). What cannot be told, or must not be kept (callbacks, other libraries' kernels, devices other than the one
CPU), is compiled as ever.

A program that was found is called as a compiled one is: what is made here is what `jax.jit` makes, with another answer to a
call that it doesn't know. That answer uses JAX's own parts, so other versions of JAX do without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import math
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.experimental.layout import Layout
from jax.sharding import SingleDeviceSharding

from ... import native
from ...native.xla_options import QUICKLY, known
from ...runtime import config
from ...runtime.store import Store
from . import dtypes, first_calls, reshaping
from .described import Untold, described
from .first_calls import XLAS, FirstCalls
from .flattened import flattened

KNOWN = jax.__version_info__ == (0, 10, 2)  # the version whose parts are used here, and with which this was run
_NUMBERS = (bool, int, float, complex)
_SETTINGS = ("FLAMBEAU_", "JAX_", "XLA_", "DNNL_", "ONEDNN_", "LIBXSMM_")
_NO_MATTER = re.compile(r"FLAMBEAU_CACHE.*|FLAMBEAU_FIRST_CALLS|.*_CACHE_DIR|JAX_PLATFORMS|FLAMBEAU_MALLOC|JAX_LOG.*")
_NO_MATTER_IN_JAX = re.compile(
    r"jax_(.*compilation_cache.*|persistent_cache.*|log.*|platforms|traceback_filtering|dump.*)"
)
_CALLS = re.compile(r'custom_call_target="([^"]*)"')

_QUIET = sys.version_info < (3, 12)

_SMALL = 1024  # elements. From 2,048 on GELU's derivative by tanh runs 1.1 times as long if it is compiled `QUICKLY`
_COPIED = 1 << 14  # elements that the operations of a write give together: arrays of up to 4,000 may be copied
_STEPS = frozenset({"while", "scan"})
_FORGET = True  # said of a call without a program: else JAX's dispatcher would never again call one for these arguments by itself

Build = Callable[[], tuple[Any, Any]]


class _Entry:
    """What is kept beside the executable of a program."""

    __slots__ = ("about", "executable")

    def __init__(self, executable: bytes, about: dict[str, Any]):
        self.executable, self.about = executable, about

    def pack(self) -> bytes:
        head = json.dumps(self.about).encode()
        return len(head).to_bytes(4, "little") + head + self.executable

    @classmethod
    def unpack(cls, contents: bytes) -> _Entry:
        size = int.from_bytes(contents[:4], "little")
        return cls(contents[4 + size :], json.loads(contents[4 : 4 + size]))


# ---------------------------------------------------------------- the key


@functools.cache
def _surroundings() -> str:
    """What stays the same in a process: versions, the package's files, the processor, settings."""
    package = Path(__file__).parents[2]
    files = []
    for folder, folders, names in os.walk(package):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".so", ".txt")):
                about = os.stat(os.path.join(folder, name))
                files.append((os.path.join(folder, name), about.st_size, about.st_mtime_ns))
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith(_SETTINGS) and not _NO_MATTER.fullmatch(k))
    versions = (
        jax.__version__,
        jaxlib.__version__,
        np.__version__,
        sys.version,
        platform.machine(),
        platform.libc_ver(),
    )
    return repr((versions, files, settings, _processor(), os.cpu_count()))


def _processor() -> str:
    """What XLA compiles for."""
    try:
        about = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    first = about.partition("\n\n")[0].splitlines()
    return "\n".join(
        line for line in first if line.startswith(("vendor_id", "cpu family", "model", "stepping", "flags"))
    )


_last_values: dict[str, Any] = {}
_last_told = ""


def _state() -> str:
    """What may change in a process: the default dtype, what JAX is set to, which kernels are there."""
    global _last_values, _last_told
    values = jax.config.values
    if values != _last_values or not _last_told:
        _last_told = repr([(k, v) for k, v in sorted(values.items()) if not _NO_MATTER_IN_JAX.fullmatch(k)])
        _last_values = dict(values)
    context = [described(v) for v in jax_config.trace_context() if type(v).__name__ != "AxisEnv"]
    door = (native.available(), native.version(), native.missing(), native.get_num_threads())
    return f"{dtypes.get_default_dtype()}{_last_told}{context}{door}"


def _argument(value: Any) -> str:
    """One argument as the compiler sees it. Raises Untold for what is not in the memory of the one CPU."""
    kind = type(value)
    if kind in _NUMBERS:
        return kind.__name__
    if kind is np.ndarray:
        return f"numpy{value.shape}{value.dtype.name}"
    if kind is not ArrayImpl:
        raise Untold(kind.__name__)
    if not _is_there(value.sharding, _cpu()):
        raise Untold("an array elsewhere")
    order = value.format.layout.major_to_minor if value.ndim > 1 else None
    return f"{value.aval.str_short()}{value.aval.weak_type}{order}"


def _is_there(sharding: Any, device: Any) -> bool:
    return (
        type(sharding) is SingleDeviceSharding
        and sharding._device is device
        and sharding.memory_kind in (None, "device")
    )


@functools.cache
def _cpu() -> Any:
    found = jax.devices()
    return found[0] if len(found) == 1 and found[0].platform == "cpu" else None


def _key(identity: Any, arguments: Sequence[Any], tree: Any = None) -> str | None:
    """The name of a program's entry, or None if it is not to have one."""
    _may_run()
    if store() is None or not jax_core.trace_state_clean() or jax_config.no_execution.value:
        return None
    try:
        parts = (_surroundings(), _state(), described(identity), repr(tree), *map(_argument, arguments))
    except Untold:
        return None
    return _name(*parts)


def _may_run() -> None:
    """What JAX asks before it traces; in a forked process that is the door that is closed."""
    if jax_config.no_tracing.value:
        raise RuntimeError("a program that is not there yet is called, but 'no_tracing' is set")


def _name(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=20).hexdigest()


@functools.cache
def store() -> Store | None:
    """Where programs are kept; None if that is turned off, or this version of JAX is not known."""
    folder = config.cache_folder() if KNOWN else None
    return None if folder is None else Store(folder / "programs", config.cache_limit())


# ---------------------------------------------------------------- from the disk, and to it

if KNOWN:
    from jax._src import compilation_cache, pjit, tree_util
    from jax._src import config as jax_config
    from jax._src import core as jax_core
    from jax._src.array import ArrayImpl
    from jax._src.compilation_cache_interface import CacheInterface
    from jax._src.interpreters import pxla
    from jax._src.lib import _jax
    from jax._src.lib import xla_client as xc


def _load(key: str) -> tuple[Any, Any, dict[str, Any]] | None:
    """A program as JAX holds compiled ones, how its results are put together, and what was kept with it."""
    contents = store().find(key)  # type: ignore[union-attr]
    if contents is None:
        return None
    try:
        entry = _Entry.unpack(contents)
        about, device = entry.about, _cpu()
        if about["kernels"] and not native.available():
            return None
        devices = xc.DeviceList((device,))
        loaded = device.client.deserialize_executable(entry.executable, executable_devices=devices)
        one = SingleDeviceSharding(device, memory_kind="device")
        ins, outs = (
            [jax.core.ShapedArray(tuple(shape), np.dtype(name), weak_type=weak) for shape, name, weak in about[which]]
            for which in ("ins", "outs")
        )
        layouts = [None if order is None else Layout(tuple(order), ()) for order in about["layouts"]]
        kind: Any = type(_ONE)
        tree = kind.deserialize_using_proto(tree_util.default_registry, bytes.fromhex(about["tree"]))
        made = pxla.UnloadedMeshExecutable(
            xla_executable=loaded, device_list=devices, backend=device.client, input_avals=ins,
            input_shardings=[one] * len(ins), output_avals=outs, output_shardings=[one] * len(outs), committed=True,
            name=about["name"], unordered_effects=[], ordered_effects=[], keepalive=[], host_callbacks=[],
            kept_var_idx=set(about["kept"]), mut=None, xla_in_layouts=layouts, dispatch_in_layouts=layouts,
            xla_out_layouts=[None] * len(outs), all_args_info=None, pgle_profiler=None,
        ).load()  # fmt: skip
    except Exception:  # of another version, or damaged in a way that the digest does not tell
        store().remove(key)  # type: ignore[union-attr]
        return None
    return made, tree, about


_ONE = jax.tree_util.tree_structure(0)


def _keep(key: str, compiled: Any, tree: Any, extra: Any) -> None:
    """Put a program that was just compiled on the disk, if it is one that another process can use."""
    parts = compiled._unloaded_executable
    calls = set(_CALLS.findall(compiled.xla_executable.hlo_modules()[0].to_string()))
    if parts.keepalive or parts.host_callbacks or parts.mut or not calls <= set(native.expected()):
        return
    try:
        about = {
            "name": parts.name,
            "ins": [(a.shape, a.dtype.name, a.weak_type) for a in compiled.in_avals],
            "outs": [(a.shape, a.dtype.name, a.weak_type) for a in compiled.out_avals],
            "layouts": [None if lay is None else lay.major_to_minor for lay in compiled._dispatch_in_layouts],
            "kept": sorted(compiled._kept_var_idx),
            "tree": tree.serialize_using_proto().hex(),
            "kernels": bool(calls),
            "extra": extra,
        }
        contents = _Entry(compiled.xla_executable.serialize(), about).pack()
    except Exception:  # results of a class that has no such form, an executable that can't be written
        return
    store().keep(key, contents)  # type: ignore[union-attr]


def _fast(compiled: Any, tree: Any, arguments: int, results: list[Any]) -> Any:
    """What JAX's dispatcher needs to know in order to call the program by itself from now on."""
    results, tree = pxla.reflatten_outputs_for_dispatch(tree, results)
    kept = [i in compiled._kept_var_idx for i in range(arguments)]
    return pxla.MeshExecutableFastpathData(
        compiled.xla_executable, tree, compiled._in_shardings, compiled._out_shardings, [r.aval for r in results],
        [r._committed for r in results], kept, compiled._dispatch_in_layouts, [],
    )  # fmt: skip


# ---------------------------------------------------------------- JAX's own cache

_here = threading.local()


@contextlib.contextmanager
def _compiling(anew: bool) -> Iterator[None]:
    """Where JAX compiles; `anew` if it is not to look in its cache. What was found there can't be written to the disk once more."""
    _here.anew = anew
    try:
        yield
    finally:
        _here.anew = False


def _serve_jax() -> None:
    """Have JAX keep its entries in our store, too: whole in every process, and bounded."""

    class Cache(CacheInterface):
        _path = None  # type: ignore[assignment]

        def get(self, key: str) -> bytes | None:
            return None if kept is None or getattr(_here, "anew", False) else kept.find(_name("jax", key))

        def put(self, key: str, value: bytes) -> None:
            if kept is not None and not getattr(_here, "anew", False):
                kept.keep(_name("jax", key), value)

    kept = store()
    with compilation_cache._cache_initialized_mutex:
        ours = kept is not None and jax.config.values["jax_compilation_cache_dir"] == str(config.cache_folder())
        if ours and not compilation_cache._cache_initialized:
            compilation_cache._cache, compilation_cache._cache_initialized = Cache(), True


if KNOWN:
    _serve_jax()


# ---------------------------------------------------------------- functions


def jit(
    function: Callable[..., Any],
    identity: Any = None,
    loaded: Callable[[], None] | None = None,
    quickly: bool = False,
    by_numpy: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """`jax.jit` of a function that is what `identity` says, in every process: its programs are kept on the disk.

    The function itself tells what it is if `identity` is None. `loaded` is called for each program that was found there.
    `quickly` is for functions of one operator: with small arrays, where nearly all of the time is the compiler's, they get `QUICKLY`,
    and first calls by NumPy: what `by_numpy` gives, a function of NumPy's arrays, or else what is found out by a trace. Where that
    says that it `is_program`, the function called alone is what it makes of traced arrays.
    """
    made: Any = jax.jit(function, **options)
    if not KNOWN or made._jit_info.compiler_options_kvs:
        return made
    static = set(made._jit_info.static_argnums)
    gives = made._jit_info.donate_argnums  # a program that writes over its arguments is not kept
    if gives and not quickly:
        return made

    # NumPy copies what XLA writes into: only what is small
    first = FirstCalls(by_numpy, _COPIED if gives else math.inf) if quickly else None

    def key_of(args: Any, kwargs: Any) -> str | None:
        if gives or store() is None or not kwargs.keys().isdisjoint(made._jit_info.static_argnames):
            return None
        fixed = [(i, a) for i, a in enumerate(args) if i in static]
        flat, tree = jax.tree_util.tree_flatten(([a for i, a in enumerate(args) if i not in static], kwargs))
        return _key((function if identity is None else identity, fixed), flat, tree)

    by_kernels = by_numpy if getattr(by_numpy, "is_program", False) else None
    return _front(made, key_of, loaded, None, identity, quickly and not gives, first, by_kernels)


def ready(identity: Any, arrays: Sequence[Any], build: Build, loaded: Callable[[], None]) -> tuple[Any, Any]:
    """A program for just these arguments, and what belongs to it: from the disk, or what `build` gives (a jitted function, and that)."""
    key = _key(identity, arrays) if KNOWN else None
    found = _load(key) if key is not None else None
    if found is None:
        made, extra = build()
        return (made if key is None else _front(made, lambda args, kwargs: key, loaded, extra)), extra
    loaded()
    compiled, tree, about = found

    def missed(*args: Any) -> Any:
        _may_run()
        flat = compiled.unsafe_call(*args)
        return jax.tree_util.tree_unflatten(tree, flat), _fast(compiled, tree, len(args), flat), False

    return _function(about["name"], None, missed, [], pxla.JitGlobalCppCacheKeys()), about["extra"]


def _function(name: str, function: Any, missed: Any, static: Any, keys: Any, cache: Any = None) -> Any:
    more = () if cache is None else (cache,)
    return _jax.pjit(name, function, missed, static, [], keys, tree_util.dispatch_registry, pxla.cc_shard_arg, *more)


def _is_small(jaxpr: Any) -> bool:
    """Whether no array in a program is large, and nothing in it is a loop of many steps."""
    looked_into = {v for e in jaxpr.eqns if e.primitive.name == "flambeau_strided" for v in e.invars}
    sized = [
        *(v for v in jaxpr.invars if v not in looked_into),
        *(out for equation in jaxpr.eqns for out in equation.outvars),
    ]
    return (
        all(math.prod(v.aval.shape) <= _SMALL for v in sized)
        and _STEPS.isdisjoint(equation.primitive.name for equation in jaxpr.eqns)
        and all(map(_is_small, jax_core.subjaxprs(jaxpr)))
    )


def _quicker(closed: Any, by_kernels: Callable[..., Any] | None) -> dict[str, Any]:
    """What is to be said of the program of one operator so that it is compiled, or runs, in less time."""
    made = None if by_kernels is None else _by_kernels(closed, by_kernels)
    if made is not None:
        return {"jaxpr": made, "compiler_options_kvs": tuple(known(QUICKLY).items())}
    if _is_small(closed.jaxpr):
        return {"compiler_options_kvs": tuple(known(QUICKLY).items())}
    flat = flattened(closed)
    return {} if flat is None else {"jaxpr": flat}


def _by_kernels(closed: Any, form: Callable[..., Any]) -> Any | None:
    """The program that calls kernels, of the form that a declaration gives; None where it is not for these arrays."""
    given = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in closed.in_avals]
    try:
        made = jax.make_jaxpr(form)(*given)
    except first_calls.Refused:
        return None
    return made if made.out_avals == closed.out_avals else None


class _Origin:
    """Whether a function is all this package's and JAX's, which is found out when it is first asked for."""

    __slots__ = ("_known", "_what")

    def __init__(self, what: Any):
        self._what: Any = what
        self._known: bool | None = None

    def is_ours(self) -> bool:
        if self._known is None:
            try:
                described(self._what)
                self._known = True
            except Untold:
                self._known = False
            self._what = None
        return self._known


@contextlib.contextmanager
def _unwatched(origin: _Origin) -> Iterator[None]:
    """Without the watcher of a compiled function (`compiler/guards/shadow.py`) where nothing of the user's can run.

    It would be called for each of the some thousand functions of JAX by which an operator is traced. Python 3.12 writes
    all code anew when a watcher goes or comes.
    """
    watcher = sys.gettrace()
    if watcher is None or not getattr(watcher, "of_users_only", False) or not _QUIET or not origin.is_ours():
        yield
        return
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(watcher)


def _kinds(arguments: Sequence[Any], fixed: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What NumPy may compute a first call by: the kinds of the arguments, row by row on the one CPU; None if there are others."""
    cpu = _cpu()
    if cpu is None or not jax_core.trace_state_clean():
        return None
    if jax_config.debug_nans.value or jax_config.debug_infs.value or jax_config.no_execution.value:
        return None
    kinds: list[Any] = [jax_config.trace_context(), fixed]
    for value in arguments:
        kind = type(value)
        if kind is ArrayImpl:
            if value.is_deleted() or (value.ndim > 1 and value._pjrt_layout != _rows(value.ndim)):
                return None
            if not _is_there(value.sharding, cpu):
                return None
            kinds.append(value.aval)
        elif kind is np.ndarray:
            kinds.append((value.shape, value.dtype))
        elif kind in _NUMBERS or value is None:  # None is no array of the program, but tells it from others
            kinds.append(kind)
        else:
            return None
    return tuple(kinds)


@functools.cache
def _rows(ndim: int) -> Any:
    """The layout row by row."""
    return jax.device_put(np.zeros((1,) * ndim, np.int32))._pjrt_layout  # type: ignore[attr-defined]


def _front(
    made: Any, key_of: Callable[..., str | None], loaded: Any, extra: Any, identity: Any = None, quickly: bool = False,
    first: FirstCalls | None = None, by_kernels: Callable[..., Any] | None = None,
) -> Any:  # fmt: skip
    """A jitted function that looks on the disk before it traces, and leaves there what it has compiled."""
    function, info = made._fun, made._jit_info
    compiled_so_far = itertools.count(1)

    def missed(*args: Any, **kwargs: Any) -> Any:
        _may_run()
        dynamic = [a for i, a in enumerate(args) if i not in info.static_argnums]
        kinds = None
        if first is not None and first_calls.SERVES and not kwargs:
            kinds = _kinds(dynamic, tuple([(type(a), a) for i, a in enumerate(args) if i in info.static_argnums]))
            dynamic = [a for a in dynamic if a is not None]
        if kinds is not None and (results := first.answer(kinds, dynamic)) is not XLAS:  # type: ignore[union-attr]
            return results, None, _FORGET
        key = key_of(args, kwargs) if jax_core.trace_state_clean() else None
        found = _load(key) if key is not None else None
        if found is not None:
            compiled, tree, _ = found
            given = jax.tree_util.tree_leaves((dynamic, kwargs))
            try:
                flat = compiled.unsafe_call(*given)
            except jax.errors.JaxRuntimeError as error:
                if "NOT_FOUND" not in str(error):
                    raise
                store().remove(key)  # type: ignore[union-attr, arg-type]  # parts of it are missing on the disk
            else:
                if loaded is not None:
                    loaded()
                return jax.tree_util.tree_unflatten(tree, flat), _fast(compiled, tree, len(given), flat), False
        with _unwatched(watched_for), _compiling(anew=key is not None):
            p, given = pjit._infer_params(function, info, args, kwargs)
            if kinds is not None and not p.consts and len(given) == len(dynamic):
                if first.enter(kinds, p.params["jaxpr"], p.out_tree) and loaded is not None:  # type: ignore[union-attr]
                    loaded()  # it takes its place in the tables
                if (results := first.answer(kinds, dynamic)) is not XLAS:  # type: ignore[union-attr]
                    return results, None, _FORGET
            if quickly and _cpu() is not None and jax_core.trace_state_clean():
                p = p._replace(params=p.params | _quicker(p.params["jaxpr"], by_kernels))
            began = time.perf_counter()
            made = pjit._run_python_pjit(p, given, function, args, kwargs)
            if quickly:
                reshaping.compiled(next(compiled_so_far), time.perf_counter() - began)
        results, flat, tree, given, jaxpr, compiled, profiler, consts = made
        fast = pjit._get_fastpath_data(compiled, tree, given, flat, jaxpr.effects, jaxpr.consts, profiler, consts)
        if key is not None and fast is not None and not consts:
            _keep(key, compiled, tree, extra)
        return results, fast, pjit._need_to_rebuild_with_fdo(profiler)

    watched_for = _Origin(function if identity is None else identity)
    fields = {field.name for field in dataclasses.fields(pxla.JitGlobalCppCacheKeys)}
    keys = pxla.JitGlobalCppCacheKeys(
        **{name: getattr(info, name) for name in fields}
    )  # as JAX has them, for they are compared
    cache = pjit._get_cpp_global_cache(keys.contains_explicit_attributes)
    name = pjit.fun_name(function)
    front: Any = _function(name, function, pjit.api_boundary(missed), info.static_argnums, keys, cache)
    front = functools.wraps(function)(front)
    front._fun, front._jit_info = function, info
    return front
