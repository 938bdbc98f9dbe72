"""The public side of compilation: `compile`, `explain`, and the errors of a trace."""

from __future__ import annotations

import functools
import os
import traceback
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..core import dtypes, tree
from ..core.grad_mode import state as grad_state
from ..core.storage import Storage
from ..core.tensor import Tensor
from ..core.tracing import Untraceable
from .capture import Capture, Conflict
from .program import TracedProgram

_PACKAGES = tuple(os.path.dirname(os.path.dirname(os.path.abspath(path))) + os.sep for path in (__file__, jax.__file__))
_MOST = 8  # programs that are kept for one signature
_everything: weakref.WeakSet[Compiled] = weakref.WeakSet()


class CompileError(RuntimeError):
    """Something in a compiled function needs values that are only known when the program runs."""


NEEDS_VALUES = (
    Untraceable,
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def user_line(error: BaseException) -> str:
    """The innermost line of the traceback that is neither flambeau's nor JAX's."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if not frame.filename.startswith(_PACKAGES) and not frame.filename.startswith("<"):
            return f'{frame.filename}, line {frame.lineno}, in {frame.name}: "{frame.line}"'
    return "an unknown line"


def _explained(error: Exception, name: str) -> CompileError:
    if isinstance(error, Untraceable):
        return CompileError(f"{user_line(error)}: {error}")
    return CompileError(
        f"{user_line(error)} needs a value while {name} is being compiled, when only shapes and dtypes are known.\n"
        "  Instead of `if x.sum() > 0: y = a` write `y = torch.where(x.sum() > 0, a, b)`;\n"
        "  return the tensor and call .item(), .numpy() or bool() on it outside;\n"
        "  or compile with fullgraph=False, which runs such a call eagerly."
    )


class Compiled:
    """A function that runs as XLA programs, one for each signature of its arguments and state."""

    def __init__(self, function: Callable[..., Any], fullgraph: bool = True):
        functools.update_wrapper(self, function)
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self.fullgraph = fullgraph
        self.programs: dict[Any, list[TracedProgram]] = {}
        self.eager: set[Any] = set()
        self.warned = False
        self.warned_of_retracing = False
        self._quick: Any = None  # the last program, and what it asks of arguments that are all plain tensors
        _everything.add(self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        quick = self._quick
        if quick is not None and not kwargs and quick.fits(args):
            return quick.program(args)
        if grad_state.trace is not None or grad_state.transforms:
            return self.function(*args, **kwargs)  # a part of the program that is being traced
        leaves, treedef = (list(args), len(args)) if not kwargs and _are_tensors(args) else tree.flatten((args, kwargs))
        tensors: list[Tensor] = []
        parts: list[Any] = []
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                tensors.append(leaf)
                parts.append((leaf.shape, leaf._np_dtype, leaf._tape_edge() is not None, type(leaf)))
            else:
                parts.append((_static(leaf), type(leaf)))
        if len({t._storage for t in tensors}) < len(tensors):
            parts.append(_sharing(tensors))
        key = (treedef, tuple(parts), grad_state.grad, dtypes._default, grad_state.autocast)
        known = self.programs.get(key, ())
        reason = ""
        for program in known:
            broken = program.broken_by(tensors)
            if broken is None:
                self._quick = _Quick.of(program, args, key) if not kwargs else None
                return program(tensors)
            reason = reason or broken
        if key in self.eager:
            return self.function(*args, **kwargs)
        if not reason:
            reason = self._difference(key) if self.programs else "first call"
        made = self._trace(key, (args, kwargs), reason)
        return self.function(*args, **kwargs) if made is None else made(tensors)

    def _trace(self, key: Any, call: Any, reason: str) -> TracedProgram | None:
        leaves, treedef = tree.flatten(call)
        bound: frozenset[int] = frozenset()
        try:
            while True:
                try:
                    capture = Capture(self.function, leaves, treedef, bound)
                    break
                except Conflict as conflict:
                    bound = conflict.arguments
        except NEEDS_VALUES as error:
            better = _explained(error, self.name)
            if self.fullgraph:
                raise better from error
            warnings.warn(f"{better}\nThis call runs eagerly.", UserWarning, stacklevel=3)
            self.eager.add(key)
            return None
        program = TracedProgram(capture, bound, reason, self.name)
        held = self.programs.setdefault(key, [])
        held.insert(0, program)
        if len(held) > _MOST:
            held.pop()
            self._warn_of_retracing(reason)
        return program

    def _warn_of_retracing(self, reason: str) -> None:
        if not self.warned_of_retracing:
            self.warned_of_retracing = True
            warnings.warn(
                f"{self.name} has been compiled {_MOST + 1} times for the same arguments. The last time because: {reason}. "
                "If that happens at every call, it is quicker uncompiled.",
                UserWarning,
                stacklevel=4,
            )

    def _difference(self, key: Any) -> str:
        """In what a new signature differs from the last one."""
        last = next(reversed(self.programs))
        if last[2] != key[2]:
            return f"grad mode is {'on' if key[2] else 'off'} now"
        if last[4] != key[4]:
            return f"autocast is {'on' if key[4] else 'off'} now, or of another dtype"
        if last[0] != key[0]:
            return "the arguments have another structure"
        changed = []
        for i, (a, b) in enumerate(zip(last[1], key[1], strict=False)):
            if a != b:
                changed.append(f"argument {i}: {_shown(a)} -> {_shown(b)}")
        self._advise(last, key)
        return "; ".join(changed) or "the default dtype has changed"

    def _advise(self, last: Any, key: Any) -> None:
        """Tell once about `drop_last` when it looks like a DataLoader's smaller last batch."""
        shapes = [(a[0], b[0]) for a, b in zip(last[1], key[1], strict=False) if len(a) == 4 and len(b) == 4 and a != b]
        if self.warned or not shapes or not all(a and b and a[1:] == b[1:] and b[0] < a[0] for a, b in shapes):
            return
        self.warned = True
        warnings.warn(
            f"{self.name} is compiled a second time for a smaller batch ({shapes[0][0][0]} -> {shapes[0][1][0]}). If it is the "
            "last batch of a DataLoader, drop_last=True saves this program.",
            UserWarning,
            stacklevel=5,
        )


class _Quick:
    """A shorter way to the last program, for calls whose arguments are whole tensors off the tape, each with its own memory."""

    __slots__ = ("autocast", "default", "grad", "program", "specs")

    def __init__(self, program: TracedProgram, specs: list[Any], grad: bool, default: Any, autocast: Any):
        self.program, self.specs, self.grad, self.default, self.autocast = program, specs, grad, default, autocast

    @classmethod
    def of(cls, program: TracedProgram, args: Any, key: Any) -> _Quick | None:
        plain = all(type(a) is Tensor and a._view is None and a._edge is None and a._base is None for a in args)
        if not plain or len({a._storage for a in args}) < len(args):
            return None
        return cls(program, [(a._storage.shape, a._storage.dtype) for a in args], *key[2:])

    def fits(self, args: Any) -> bool:
        state, specs = grad_state, self.specs
        if (
            len(args) != len(specs)
            or state.trace is not None
            or state.transforms
            or state.grad is not self.grad
            or state.autocast is not self.autocast
            or dtypes._default is not self.default
        ):
            return False
        last = None
        for arg, (shape, dtype) in zip(args, specs, strict=False):
            if type(arg) is not Tensor or arg._view is not None or arg._edge is not None or arg._base is not None:
                return False
            storage = arg._storage
            seen = storage.value.aval if type(storage) is Storage else storage  # which is the quicker look
            if storage is last or seen.shape != shape or seen.dtype != dtype:
                return False
            last = storage
        if len(specs) > 2 and len({arg._storage for arg in args}) < len(specs):
            return False
        return self.program.broken_by(args) is None


def _are_tensors(values: Any) -> bool:
    return all(type(value) is Tensor for value in values)


def _static(leaf: Any) -> Any:
    """A value that the program is compiled for, as part of a key."""
    if isinstance(leaf, np.ndarray):
        return leaf.shape, leaf.dtype, leaf.tobytes()
    try:
        hash(leaf)
    except TypeError:
        return _Same(leaf)
    return leaf


class _Same:
    """An object that cannot be hashed, as a part of a key: equal to itself, and alive as long as the key."""

    def __init__(self, thing: Any):
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __repr__(self) -> str:
        return repr(self.thing)


def _sharing(tensors: list[Tensor]) -> Any:
    """Which arguments share memory, and how they look into it."""
    first: dict[Any, int] = {}
    objects: dict[int, int] = {}
    return tuple(
        (first.setdefault(t._storage, i), objects.setdefault(id(t), i), t._storage.shape, t._view)
        for i, t in enumerate(tensors)
    )


def _shown(part: Any) -> str:
    if len(part) == 4:
        return f"tensor {list(part[0])} {part[1]}{' requiring grad' if part[2] else ''}"
    return repr(part[0])


def compile(
    model: Any = None,
    *,
    fullgraph: bool = True,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """A function, or a module, that runs as one XLA program for each signature.

    Whatever it reads and writes (parameters, buffers, gradients, optimizer state, random numbers) is found while it is
    traced and left as eager code would leave it. Python side effects happen only while tracing. CompileError says where
    values are needed that only the running program has; with `fullgraph=False` such a call runs eagerly, with a warning.
    `dynamic`, `backend`, `mode` and `options` are accepted and mean nothing here.
    """
    if model is None:
        return lambda function: compile(function, fullgraph=fullgraph, disable=disable)
    if disable:
        return model
    if hasattr(model, "_parameters") and hasattr(model, "forward"):
        from .module import OptimizedModule

        return OptimizedModule(model, fullgraph)
    if not callable(model):
        raise RuntimeError(f"compile expects a function or a module, got {type(model).__name__}")
    return Compiled(model, fullgraph)


class Explanation:
    """The programs of a compiled function: why each was traced, how often it ran, what state it reads and writes."""

    def __init__(self, compiled: Compiled):
        self.name = compiled.name
        self.programs = [p for programs in compiled.programs.values() for p in reversed(programs)]

    def __len__(self) -> int:
        return len(self.programs)

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.programs)} program{'s' if len(self.programs) != 1 else ''}"]
        for i, program in enumerate(self.programs):
            counts = ", ".join(f"{count} {what}" for what, count in program.recorder_summary.items())
            lines.append(f"  {i}: traced because: {program.reason}; called {program.calls} times; {counts}")
        return "\n".join(lines)

    __repr__ = __str__


def explain(compiled: Any) -> Explanation:
    """What a compiled function or module has been compiled to. Raises TypeError for anything else."""
    found = getattr(compiled, "_compiled", compiled)
    if not isinstance(found, Compiled):
        raise TypeError(f"explain expects what compile() returned, got {type(compiled).__name__}")
    return Explanation(found)


def is_compiling() -> bool:
    """Whether the code that asks is being traced."""
    return grad_state.trace is not None


def reset() -> None:
    """Forget all programs of all compiled functions."""
    for compiled in list(_everything):
        compiled.programs.clear()
        compiled._quick = None
        compiled.eager.clear()


compile.explain = explain  # type: ignore[attr-defined]
