"""What a checkpoint may name and call under `weights_only=True`: exact (module, name) pairs, and what the user adds.

Looking a name up is looking into a dict: nothing is imported, and no attribute of anything is followed.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import numpy as np

from ..core.context.homes import written_in
from ..runtime.settings import asks_setting, changes_setting
from . import names, rebuild
from .errors import brief, damaged


def _bad(what: str, *args: object) -> RuntimeError:
    return damaged(f"{what}, got {', '.join(map(brief, args)) or 'nothing'}")


_CONTAINERS = (tuple, list, dict, set, frozenset, OrderedDict)
_KEY_NODES = 1000


def check_key(key: Any) -> int:
    """What hashing `key` costs, in the bytes of a budget.

    Raises RuntimeError unless it is harmless: nested tuples can take for ever, or use up the stack.
    """
    left, nodes, bits = [key], 0, 0
    while left:
        one = left.pop()
        nodes += 1
        if isinstance(one, (tuple, frozenset)):
            if len(left) + len(one) + nodes > _KEY_NODES:
                raise RuntimeError(f"the checkpoint has a dict key or set member of more than {_KEY_NODES} parts")
            left.extend(one)
        elif type(one) is int:
            bits += one.bit_length()  # of a long one, each time it is hashed
        elif type(one) is range:
            bits += sum(n.bit_length() for n in (one.start, one.stop, one.step))
        elif not isinstance(one, _HASHABLE) and not is_added(type(one)):
            raise RuntimeError(f"the checkpoint has a dict key or set member of the type {type(one).__name__}")
    return 32 * nodes + (bits if bits > 64 * nodes else 0)


def growth(function: Any) -> int:
    """How many times the memory of its arguments a call may take besides its result."""
    return {id(rebuild._rebuild_device_tensor_from_numpy): 16, id(range): 4}.get(id(function), 1)


_HASHABLE = (
    str, bytes, int, float, complex, type(None), type(Ellipsis), range, type,
    names.dtypes.dtype, names.device, names.Tensor, np.generic,
)  # fmt: skip


def _container(kind: type) -> Callable[..., Any]:
    """Makes a `kind` from nothing or from one plain container; no other argument of its constructor gets through."""

    def make(*args: Any) -> Any:
        if len(args) > 1 or (args and type(args[0]) not in _CONTAINERS):
            raise _bad(f"{kind.__name__} should be made from a container", *args)
        if args and kind not in (tuple, list):
            pairs = kind in (dict, OrderedDict) and not isinstance(args[0], dict)
            for item in args[0]:
                if pairs and (type(item) not in (tuple, list) or len(item) != 2):
                    raise _bad("a dict should be made from pairs", item)
                check_key(item[0] if pairs else item)
        return kind(*args)

    return make


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        raise _bad("bytes should be written as latin-1 text", text, encoding)
    return text.encode("latin1")


def _bytearray(*args: Any) -> bytearray:
    if len(args) == 2 and type(args[0]) is str:
        return bytearray(_encode(*args))
    if len(args) > 1 or (args and type(args[0]) not in (bytes, bytearray)):
        raise _bad("a bytearray should be made from bytes", *args)
    return bytearray(*args)


def _bytes(*args: Any) -> bytes:
    if args:
        raise _bad("bytes should be made from nothing", *args)
    return b""


def _complex(real: Any = 0.0, imag: Any = 0.0) -> complex:
    if type(real) not in (int, float) or type(imag) not in (int, float):
        raise _bad("complex should be made from two numbers", real, imag)
    return complex(real, imag)


def _integers(kind: Callable[..., Any], at_most: int) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if not 1 <= len(args) <= at_most or any(type(a) is not int and a is not None for a in args):
            raise _bad("a range or slice should be made from numbers", *args)
        return kind(*args)

    return make


_FACTORIES = (int, float, complex, bool, str, bytes, tuple, list, dict, set, frozenset, OrderedDict)


def _defaultdict(factory: Any = None) -> defaultdict[Any, Any]:
    if factory is not None and not any(factory is one for one in _FACTORIES):
        raise _bad("a defaultdict's factory should be a plain type", factory)
    return defaultdict(factory)


def _deque(items: Any = (), maxlen: Any = None) -> deque[Any]:
    if type(items) not in (tuple, list) or type(maxlen) not in (int, type(None)):
        raise _bad("a deque should be made from a list", items, maxlen)
    return deque(items, maxlen)


def _size(items: Any = ()) -> Any:
    if type(items) not in (tuple, list) or any(type(n) is not int for n in items):
        raise _bad("torch.Size should be made from a tuple of ints", items)
    return names.Size(items)


def _device(kind: Any, index: Any = None) -> Any:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise _bad("torch.device should be made from a name and a number", kind, index)
    return names.device(kind, index)


def _layout(name: Any) -> Any:
    if type(name) is not str:
        raise _bad("a layout should be a name", name)
    return names.get_layout(name)


# --- NumPy: numbers only; what its own unpickling would do, once the parts are known to fit ---------------------------


def _np_dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    if type(code) is not str or re.fullmatch(r"[<>=|]?(?:[biufc]\d{1,2}|[SU]\d{1,9}|\?)", code) is None:
        raise _bad("only NumPy dtypes of numbers and text can be loaded", code)
    return np.dtype(code, align=False, copy=True)


def _np_dtype_state(found: np.dtype[Any], state: Any) -> None:
    kinds = (int, str, type(None), type(None), type(None), int, int, int)
    if type(state) is not tuple or tuple(map(type, state)) != kinds or state[0] != 3 or state[1] not in tuple("<>=|"):
        raise _bad("a NumPy dtype's state should be its byte order", state)
    if state[5:7] not in ((-1, -1), (found.itemsize, found.alignment)):
        raise _bad(f"a NumPy dtype of {found.itemsize} bytes cannot have this size and alignment", state[5:7])
    found.__setstate__(state)  # type: ignore[attr-defined]


def _np_values(dtype: Any, data: Any, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not dtype.itemsize:
        raise _bad("a NumPy array should have a dtype of numbers or text", dtype)
    if type(data) not in (bytes, bytearray) or len(data) != dtype.itemsize * rebuild.math.prod(shape):
        raise _bad(f"a NumPy array of shape {brief(shape)} and dtype {dtype} should have as many bytes", data)
    return np.frombuffer(data, dtype)


def _np_scalar(dtype: Any, data: Any) -> Any:
    return _np_values(dtype, data, ())[0]


def _np_reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not np.ndarray:
        raise _bad("only plain NumPy arrays can be loaded", kind)
    return np.empty((0,), np.int8)


def _np_shape(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > 32:
        raise _bad("a NumPy array's shape should be a tuple", shape)
    return tuple(rebuild._number(n, "sizes") for n in shape)


def _np_array_state(found: np.ndarray, state: Any) -> None:
    if type(state) is not tuple or len(state) != 5 or type(state[0]) is not int or type(state[3]) is not bool:
        raise _bad("a NumPy array's state should have five parts", state)
    _, shape, dtype, _, data = state
    _np_values(dtype, data, _np_shape(shape))
    found.__setstate__(state)


def _np_frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if type(order) is not str or order not in ("C", "F"):
        raise _bad("a NumPy array's order should be C or F", order)
    values: Any = _np_values(dtype, data, _np_shape(shape))
    return values.reshape(shape, order=order).copy(order=order)


# --- the tables -------------------------------------------------------------------------------------------------------


class Function:
    """A name that may be called and means nothing else."""

    def __init__(self, call: Callable[..., Any]):
        self.call = call


_NUMPY = {
    ("multiarray", "scalar"): Function(_np_scalar),
    ("multiarray", "_reconstruct"): Function(_np_reconstruct),
    ("numeric", "_frombuffer"): Function(_np_frombuffer),
}
_KNOWN: dict[tuple[str, str], Any] = {
    **names.TORCH,
    **{("builtins", t.__name__): t for t in (*_FACTORIES[:-1], bytearray)},
    ("builtins", "range"): range,
    ("builtins", "slice"): slice,
    ("builtins", "Ellipsis"): Ellipsis,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("collections", "defaultdict"): defaultdict,
    ("collections", "deque"): deque,
    ("_codecs", "encode"): Function(_encode),
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    **{(f"numpy.{core}.{module}", name): f for core in ("core", "_core") for (module, name), f in _NUMPY.items()},
}

# what may be called, and by what: never the thing itself where its constructor does more than is wanted
_CALLS: dict[int, Callable[..., Any]] = {
    **{id(f): f for f in names.TORCH.values() if callable(f) and written_in(f) == rebuild.__name__},
    **{id(t): _container(t) for t in (*_CONTAINERS, Counter)},
    id(bytes): _bytes,
    **{id(f): f.call for f in _KNOWN.values() if isinstance(f, Function)},
    id(bytearray): _bytearray,
    id(complex): _complex,
    id(range): _integers(range, 3),
    id(slice): _integers(slice, 3),
    id(defaultdict): _defaultdict,
    id(deque): _deque,
    id(names.Size): _size,
    id(names.device): _device,
    id(names.get_layout): _layout,
    id(np.dtype): _np_dtype,
}
_STATES: dict[type, Callable[[Any, Any], None]] = {np.ndarray: _np_array_state}

_added: dict[str, Any] = {}  # dotted name -> what the user vouched for
_as_given: dict[str, Any] = {}


def _nn(module: str, name: str) -> Any:
    """The few names of `torch.nn` that are known: looked up late, since `nn` lies above this module's tables."""
    if module == "torch.nn.parameter" and name in (
        "Parameter",
        "UninitializedParameter",
        "UninitializedBuffer",
        "Buffer",
    ):
        from ..nn import parameter

        return getattr(parameter, name, None)
    return None


def _make_nn(kind: Any) -> Callable[..., Any] | None:
    if not isinstance(kind, type):
        return None
    from ..nn import parameter

    if kind is parameter.Parameter:
        return rebuild._rebuild_parameter
    if kind in (getattr(parameter, "UninitializedParameter", 0), getattr(parameter, "UninitializedBuffer", 0)):
        return lambda requires_grad=True: kind(rebuild._flag(requires_grad, "requires_grad"))
    return None


def find(module: str, name: str) -> Any:
    """What a name in a file stands for; None if it is not known to be safe."""
    found = _KNOWN.get((module, name))
    if found is None:
        found = _nn(module, name)
    return _added.get(f"{module}.{name}") if found is None else found


def caller(thing: Any) -> Callable[..., Any] | None:
    """What is run when a file calls `thing`; None if it may not be called."""
    found = _CALLS.get(id(thing))
    if found is None and is_added(thing):
        return thing
    return _make_nn(thing) if found is None else found


def state_setter(thing: Any) -> Callable[[Any, Any], None] | None:
    """What sets the state of `thing` as a file gives it; None if it may not be given one."""
    if isinstance(thing, np.dtype):
        return _np_dtype_state
    if isinstance(thing, names.Tensor) and not is_added(type(thing)):
        return rebuild.set_state
    return _STATES.get(type(thing))


def is_added(thing: Any) -> bool:
    """Whether the user vouched for this class or function."""
    return any(thing is one for one in _added.values())


def _names_of(entry: Any) -> tuple[str, Any]:
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], str):
        return entry[1], entry[0]
    if (name := names.written(entry)) is None:
        module, qualname = getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(qualname, str):
            raise TypeError(
                f"safe globals are functions, classes, or pairs (function or class, 'module.name'), got {brief(entry)}"
            )
        name = module, qualname
    return ".".join(name), entry


@changes_setting
def add_safe_globals(safe_globals: Iterable[Callable[..., Any] | tuple[Callable[..., Any], str]]) -> None:
    """Let files loaded with `weights_only=True` name and call these functions and classes.

    Each is a function or class, or a pair of one and the dotted name that the file has for it.
    """
    entries = [(*_names_of(entry), entry) for entry in safe_globals]
    for name, thing, entry in entries:
        _added[name] = thing
        _as_given[name] = entry


@asks_setting
def get_safe_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What was added by `add_safe_globals` and `safe_globals`."""
    return list(_as_given.values())


@changes_setting
def clear_safe_globals() -> None:
    """Forget all that was added."""
    _added.clear()
    _as_given.clear()


class safe_globals:
    """A context in which these functions and classes are safe globals, as after `add_safe_globals`."""

    def __init__(self, safe_globals: Iterable[Callable[..., Any] | tuple[Callable[..., Any], str]]):
        self._entries = list(safe_globals)

    def __enter__(self) -> None:
        self._before = dict(_added), dict(_as_given)
        add_safe_globals(self._entries)

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        clear_safe_globals()
        _added.update(self._before[0])
        _as_given.update(self._before[1])
