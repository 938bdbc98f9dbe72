"""`torch.ops`: operators by namespace, name and overload, each with a schema and with kernels that others register.

A namespace is filled by `define` (`torch.library`), or finds its operators when they are first asked for (`aten`, see
`ops/overloads.py`).
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..array import devices, dtypes
from ..context import doors
from ..context.grad_mode import state as grad_state
from ..context.overrides import PASS, OperatorHandle, ask, ask_classes, dispatching
from ..tensor.tensor import Tensor
from .schema import FunctionSchema, parse

DEFAULT = "default"


class _Running(threading.local):
    below_autograd = 0  # whether kernels for autograd are passed over
    seen: tuple[Any, Any] | None = None  # the operator that a dispatch mode was told of, and what runs it


running: _Running = _Running()


_kernels: dict[str, dict[Any, Any]] = {}


def kernels_of(name: str) -> dict[Any, Any]:
    """The kernels of an operator such as `mylib::scale`, by dispatch key or class of mode; it may be defined later."""
    return _kernels.setdefault(name, {})


class OpOverload:
    """One operator: `torch.ops.aten.mm.default`. It is the same object wherever it is met."""

    __module__ = "flambeau._ops"

    def __init__(self, packet: OpOverloadPacket, schema: FunctionSchema, run: Callable[..., Any]):
        self._overloadpacket = packet
        self._schema = schema
        self._overloadname = schema.overload_name or DEFAULT
        self._opname = packet.__name__
        self._name = schema.name + (f".{schema.overload_name}" if schema.overload_name else "")
        self.__name__: str = f"{packet.__name__}.{self._overloadname}"
        self.__qualname__ = schema.name
        self.__module__ = f"flambeau._ops.{packet._namespace}"
        self._run = run  # called with this operator and the arguments
        self._tags: list[Any] = []
        self.kernels: dict[Any, Any] = kernels_of(self._name)

    @property
    def overloadpacket(self) -> OpOverloadPacket:
        """The operator that it is an overload of."""
        return self._overloadpacket

    @property
    def op(self) -> Callable[..., Any]:
        """What is called."""
        return self.__call__

    @property
    def namespace(self) -> str:
        """The operator's namespace, as 'aten'."""
        return self._overloadpacket._namespace

    @property
    def tags(self) -> list[Any]:
        """What else is said of it."""
        return self._tags

    @property
    def is_view(self) -> bool:
        """Whether its result shares its argument's memory."""
        return self._schema._is_view_op()

    def name(self) -> str:
        """`aten::add.Tensor`; a default overload is not named."""
        return self._name

    def has_kernel_for_dispatch_key(self, key: Any) -> bool:
        """Whether a kernel was registered for a key such as 'CPU'."""
        return str(key).rpartition(".")[2] in self.kernels

    def decompose(self, *args: Any, **kwargs: Any) -> Any:
        """Nothing is taken apart here: NotImplemented."""
        return NotImplemented

    def computed(self, /, *args: Any, **kwargs: Any) -> Any:
        """The result, with nobody asked."""
        return self._run(self, *args, **kwargs)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        seen, running.seen = running.seen, None
        if seen is not None and seen[0] is self:
            return seen[1](*args, **kwargs)
        if (found := ask(self, args, kwargs)) is not PASS:
            return found
        if grad_state.dispatch_modes and self.kernels:
            return seen_by_mode(self, lambda *a, **k: self._run(self, *a, **k), args, kwargs)
        return self._run(self, *args, **kwargs)

    def __deepcopy__(self, memo: Any = None) -> OpOverload:
        return self

    def __reduce__(self) -> Any:
        return _found, (self.namespace, self._opname, self._overloadname)

    def __hash__(self) -> int:
        return hash(self._name)

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.namespace}.{self._opname}', overload='{self._overloadname}')>"


class OpOverloadPacket:
    """All overloads of an operator: `torch.ops.aten.mm`. Called, it takes the first whose schema the arguments fit."""

    __module__ = "flambeau._ops"

    def __init__(self, namespace: str, name: str):
        self.__name__ = name
        self._namespace = namespace
        self._qualified_op_name = f"{namespace}::{name}"
        self._made: dict[str, OpOverload] = {}
        self.takes_numbers = False  # whether a number will do for a tensor

    def add(self, schema: FunctionSchema, run: Callable[..., Any]) -> OpOverload:
        made = self._made[schema.overload_name or DEFAULT] = OpOverload(self, schema, run)
        return made

    def __getattr__(self, overload: str) -> OpOverload:
        made = self.__dict__.get("_made", {}).get(overload)
        if made is None:
            if overload.startswith("__"):
                raise AttributeError(
                    f"Trying to access dunder '{overload}' on 'OpOverloadPacket' object. This is not a overload name"
                )
            packet = f"{self._namespace}.{self.__name__}"
            raise AttributeError(f"The underlying op of '{packet}' has no overload name '{overload}'")
        return made

    @property
    def op(self) -> Callable[..., Any]:
        """What is called."""
        return self.__call__

    @property
    def _schemas(self) -> dict[str, FunctionSchema]:
        return {name: op._schema for name, op in self._made.items()}

    def overloads(self) -> list[str]:
        """The names of the overloads."""
        return list(self._made)

    def fitting(self, args: Any, kwargs: dict[str, Any], strictly: bool = False) -> OpOverload | None:
        """The first overload whose schema the arguments fit; `strictly`, one for numbers goes before one for tensors."""
        if strictly and self.takes_numbers:
            for op in self._made.values():
                try:
                    op._schema.bind(args, kwargs)
                except RuntimeError:
                    continue
                return op
        for op in self._made.values():
            try:
                op._schema.bind(args, kwargs, self.takes_numbers)
            except RuntimeError:
                continue
            return op
        return None

    def usual(self) -> OpOverload:
        """The overload that is meant if nothing is said."""
        return next((self._made[name] for name in _USUAL if name in self._made), next(iter(self._made.values())))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if len(self._made) == 1:
            return next(iter(self._made.values()))(*args, **kwargs)
        if (found := ask(self, args, kwargs)) is not PASS:
            return found
        op = self.fitting(args, kwargs)
        if op is not None:
            return op(*args, **kwargs)
        told = []
        for other in self._made.values():
            try:
                other._schema.bind(args, kwargs, self.takes_numbers)
            except RuntimeError as error:
                told.append(str(error))
        raise RuntimeError(
            "Overloaded torch operator invoked from Python failed to match any schema:\n" + "\n\n".join(told) + "\n\n"
        )

    def __deepcopy__(self, memo: Any = None) -> OpOverloadPacket:
        return self

    def __reduce__(self) -> Any:
        return _found, (self._namespace, self.__name__, None)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._made]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __str__(self) -> str:
        return f"{self._namespace}.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self._namespace}.{self.__name__}')>"


class OpNamespace(ModuleType):
    """The operators of one namespace: `torch.ops.aten`."""

    def __init__(self, name: str, look_up: Callable[[str], OpOverloadPacket | None] | None = None):
        super().__init__("torch.ops." + name)
        self.__file__: str = "torch.ops"
        self._space = name
        self._look_up = look_up
        self._packets: dict[str, OpOverloadPacket] = {}

    def packet(self, name: str) -> OpOverloadPacket:
        """The packet of this name, which is made if there is none."""
        found = self._packets.get(name)
        if found is None:
            found = self._packets[name] = OpOverloadPacket(self._space, name)
        return found

    def forget(self, name: str, overload: str) -> None:
        """Take an operator out again."""
        packet = self._packets.get(name)
        if packet is not None:
            packet._made.pop(overload, None)
            if not packet._made:
                del self._packets[name]

    def __getattr__(self, name: str) -> Any:
        packets = self.__dict__.get("_packets", {})
        found = packets.get(name)
        if found is None and self.__dict__.get("_look_up") is not None:
            found = self._look_up(name)  # type: ignore[misc]
            if found is not None:
                packets[name] = found
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{self.__dict__.get('_space')}' object has no attribute '{name}'")
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._packets]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packets)


OpNamespace.__name__ = OpNamespace.__qualname__ = "_OpNamespace"
OpNamespace.__module__ = "flambeau._ops"


class Ops(ModuleType):
    """`torch.ops`: a namespace for each name that is asked for."""

    aten: OpNamespace
    higher_order: OpNamespace
    prims: OpNamespace

    def __init__(self) -> None:
        super().__init__("torch.ops")
        self.loaded_libraries: set[str] = set()

    def __getattr__(self, name: str) -> OpNamespace:
        if name.startswith("__"):
            raise AttributeError(name)
        made = OpNamespace(name)
        setattr(self, name, made)
        return made

    def load_library(self, path: Any) -> None:
        """Register the operators of a library that flambeau has itself. OSError for any other: compiled operators can't run here."""
        file = Path(path)
        supplied = doors.supplied.get((file.parent.name, file.name.partition(".")[0]))
        if supplied is not None:
            if str(path) not in self.loaded_libraries:
                supplied()
                self.loaded_libraries.add(str(path))
            return
        raise OSError(
            f"Could not load this library: {path}: it holds operators that are compiled against PyTorch's C++ library, which "
            "flambeau does not have. Register a Python implementation with torch.library.custom_op instead; a package that goes "
            "without the library where it finds none runs once the file is moved away"
        )

    def import_module(self, module: str) -> None:
        """Import a Python module that registers operators."""
        import importlib

        importlib.import_module(module)


Ops.__name__ = Ops.__qualname__ = "_Ops"
Ops.__module__ = "flambeau._ops"
ops: Ops = Ops()


def _found(namespace: str, name: str, overload: str | None) -> Any:
    packet = getattr(getattr(ops, namespace), name)
    return packet if overload is None else getattr(packet, overload)


def named(qualified: str) -> OpOverload | None:
    """The operator of a name such as `aten::add.Tensor`."""
    name, _, overload = qualified.partition(".")
    namespace, _, base = name.partition("::")
    packet = getattr(getattr(ops, namespace), base, None)
    return None if packet is None else getattr(packet, overload or DEFAULT, None)


def define(schema: str, namespace: str, run: Callable[..., Any]) -> OpOverload:
    """Add an operator to its namespace. RuntimeError if it is there."""
    parsed = parse(schema, namespace)
    space, _, base = parsed.name.partition("::")
    packet = getattr(ops, space).packet(base)
    if (parsed.overload_name or DEFAULT) in packet._made:
        raise RuntimeError(
            f"Tried to register an operator ({parsed}) with the same name and overload name multiple times. Each overload's "
            "schema should only be registered with a single call to def()."
        )
    return packet.add(parsed, run)


# --- dispatch modes --------------------------------------------------------------------------------------------------


def seen_by_mode(handle: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let the innermost dispatch mode run an operator. When it calls `handle`, `run` runs."""
    modes = grad_state.dispatch_modes
    mode = modes[-1]
    grad_state.set_dispatch_modes(modes[:-1])
    before, running.seen = running.seen, (handle, run)
    try:
        rule = getattr(handle, "kernels", {}).get(type(mode))
        kinds = tuple(dict.fromkeys(type(a) for a in args if isinstance(a, Tensor) and type(a) is not Tensor))
        if rule is not None:
            return rule(mode, handle, kinds, args, kwargs)
        return mode.__torch_dispatch__(handle, kinds, args, kwargs)
    finally:
        running.seen = before
        grad_state.set_dispatch_modes(modes)


_handles: dict[tuple[int, str], Any] = {}


def _names(op: Any, call: Any) -> tuple[str, str]:
    """What a call of an operator is called here, and in PyTorch."""
    name = getattr(op, "name", None) or op.__name__
    if call.__name__.endswith("_") and not call.__name__.endswith("__"):
        name = name.rstrip("_") + "_"
    return name, _CALLED.get(name) or getattr(op, "space", "") + name


def name_of_call(op: Any, call: Any) -> str:
    """PyTorch's name, such as `aten::add_`, of a call of an operator, or of a function that calls operators (no `op`)."""
    if op is not None:
        return f"aten::{_names(op, call)[1]}"
    return getattr(call, "shown_as", "") or f"aten::{call.__name__}"


taken_apart: dict[str, Callable[..., Any]] = {}  # by name, what PyTorch computes by several operators; or gives PASS


def taken(name: str, *args: Any, **kwargs: Any) -> Any:
    """What the form of a call in ATen's operators gives; PASS if there is none."""
    form = taken_apart.get(name)
    return PASS if form is None else form(*args, **kwargs)


def dispatch_operator(op: Any, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let the innermost dispatch mode run an operator of ours, under the name that PyTorch has for it, if there is one."""
    name, called = _names(op, call)
    if called in taken_apart and "out" not in kwargs and (found := taken(called, *args, **kwargs)) is not PASS:
        return found
    packet = getattr(ops.aten, called, None)
    if packet is not None:
        for given, options in () if name in _OF_OTHER_ARGUMENTS else _readings(op, call, args, kwargs):
            handle = packet.fitting(given, options, called in _NUMBERS)
            if handle is not None and getattr(handle._run, "computes", False):
                positional, named = handle._schema.canonical(given, options, packet.takes_numbers)
                named.update(_of_factories(handle._schema, positional, named))
                made = seen_by_mode(handle, handle.computed, positional, named)
                if not isinstance(made, (tuple, list)):
                    return made
                fields = getattr(op, "returns", None)
                return fields(*made) if fields else tuple(made)
        handle = packet.usual()
    else:
        handle = _handles.get((id(op), name))
        if handle is None:
            handle = _handles[id(op), name] = OperatorHandle(name, call)
    return seen_by_mode(handle, call, args, kwargs)


def _of_factories(schema: FunctionSchema, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What PyTorch says besides to what makes a tensor: that its memory is not pinned, and, if it is made of none, where it lies."""
    names = {argument.name for argument in schema.arguments}
    if "pin_memory" not in names or schema.name in _CASTS:
        return {}
    alone = not any(isinstance(a, Tensor) for a in args)
    said = {"device": kwargs.pop("device", devices.get_default_device())} if alone and "device" in names else {}
    return {**said, "pin_memory": kwargs.pop("pin_memory", False)}


def _readings(
    op: Any, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """What the arguments of a call may mean to a schema: sizes that are given one by one are a list there; or they go by their names."""
    plain = tuple(dtypes.from_numpy(a) if isinstance(a, np.dtype) else a for a in args)
    first = 1 if plain and isinstance(plain[0], Tensor) else 0
    rest = plain[first:]
    if rest and all(type(a) is int for a in rest) and _takes_several(call):
        yield (*plain[:first], rest), kwargs
    yield plain, kwargs
    named = _by_name(op, plain, kwargs)
    if named is not None:
        yield (), named


_OLD_NAMES = ("size_average", "reduce")  # of `reduction`, which ATen does not have


def _by_name(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """A call's arguments by ATen's names for them; None where the operator does not tell."""
    function = getattr(op, "function", None)
    if function is None:
        return None
    try:
        named = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except TypeError:
        return None
    named = {k: v for k, v in named.items() if k not in _OLD_NAMES or v is not None}
    if "input" in named:
        named = {"self": named.pop("input"), **named}
    if isinstance(named.get("reduction"), str):
        named["reduction"] = {"none": 0, "mean": 1, "sum": 2}.get(named["reduction"])
    return named


@functools.cache
def _takes_several(call: Any) -> bool:
    try:
        kinds = [p.kind for p in inspect.signature(call).parameters.values()]
    except (TypeError, ValueError):
        return False
    return inspect.Parameter.VAR_POSITIONAL in kinds


def shown_to_modes(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is no declared operator, as one that dispatch modes see."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if grad_state.dispatch_modes:
            return dispatch_operator(function, call, args, kwargs)
        if dispatching and (found := ask_classes(call, args, kwargs)) is not PASS:
            return found
        return function(*args, **kwargs)

    return call


# what PyTorch calls operators of ours that have another name
_CALLED = {
    "true_divide": "div", "true_divide_": "div_", "subtract": "sub", "multiply": "mul", "absolute": "abs",
    "rmatmul": "matmul", "cast": "_to_copy", "_view_shape": "view", "cross_entropy": "cross_entropy_loss",
    "attention": "scaled_dot_product_attention", "_reversed": "permute", "tensor": "lift_fresh",
    "unfold": "im2col", "fold": "col2im",
}  # fmt: skip
_NUMBERS = frozenset("rsub remainder remainder_ pow pow_ fmod fmod_ floor_divide".split())  # have overloads for numbers
# Private operators with arguments of their own, such as what was drawn for them
_OF_OTHER_ARGUMENTS = frozenset(
    """alpha_dropout cholesky_inverse cov dropout einsum gradient histogram istft nanquantile native_dropout norm one_hot quantile
    rrelu searchsorted segment_reduce stft svd tensordot""".split()
)
_CASTS = ("aten::_to_copy", "aten::to")
_USUAL = ("dim_IntList", "correction", "default")  # what is named where the arguments fit none of the overloads

__all__ = ["OpNamespace", "OpOverload", "OpOverloadPacket", "Ops", "define", "dispatch_operator", "named", "ops"]
