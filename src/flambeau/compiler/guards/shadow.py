"""Following the user's code while it is traced, instruction by instruction, to learn which values it reads and writes.

`sys.settrace` tells of every function that begins. For the user's functions it then tells of every instruction, before it runs.
A `Shadow` keeps beside the interpreter's stack another one that says where its objects come from, and takes the objects themselves
from the interpreter (`frames.py`); so it sees whose attribute or item is read. An object that comes out of a function in C may have
been there before or be new: `Watcher.arrive` decides. Where frames can't be read,
nothing is compiled.
"""

from __future__ import annotations

import decimal
import dis
import functools
import gc
import sys
from collections import deque
from dataclasses import is_dataclass
from sys import getrefcount
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ...core.array import room
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import NEEDS_VALUES, Untraceable
from ...core.dispatch.host_numbers import HostValue
from ...core.tensor import tree
from ...core.tensor.storage import is_traced
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...optim.optimizer import Optimizer
from . import access, frames
from .code import LIBRARY, STANDARD, compares_with_traces, kind_of_code
from .instructions import HANDLERS
from .modules import layers_run, unwrapped
from .numeric import Direct
from .places import Attribute, Place
from .symbols import ATTRIBUTE, FRESH, UNKNOWN, Symbol
from .unwinding import Unwinding, waits_in_a_block
from .values import PLAIN

# Python 3.12 begins with some hundred objects frozen; a program that has frozen its own has many more.
_OF_PYTHON = 1000


class Instruction:
    """One instruction: its handler, its argument, and how deep the stack is before it."""

    __slots__ = ("arg", "depth", "handler", "name", "offset", "value")

    def __init__(self, made: dis.Instruction, handler: Any, depth: int):
        self.name: str = made.opname
        self.offset: int = made.offset
        self.arg: int = made.arg or 0
        self.value: Any = made.argval
        self.handler: Any = handler
        self.depth: int = depth


@functools.lru_cache(maxsize=4096)
def _table(code: CodeType) -> dict[int, Instruction]:
    instructions = list(dis.get_instructions(code))
    depths = frames.depths(code, instructions)
    table: dict[int, Instruction] = {}
    for i, ins in enumerate(instructions):
        real = i
        while instructions[real].opname == "EXTENDED_ARG":
            real += 1
        made = instructions[real]
        table[ins.offset] = Instruction(made, HANDLERS.get(made.opname), depths.get(made.offset, -1))
    return table


class Shadow:
    """One running function of the user's."""

    __slots__ = (
        "after",
        "before",
        "called",
        "code",
        "frame",
        "function",
        "keywords",
        "logged",
        "skip",
        "stack",
        "table",
        "watcher",
    )

    def __init__(self, watcher: Watcher, frame: FrameType, function: Any):
        self.watcher: Watcher = watcher
        self.frame: FrameType = frame
        self.code: CodeType = frame.f_code
        self.function: Any = function  # None if it could not be found
        self.table: dict[int, Instruction] = _table(frame.f_code)
        self.before: int = frames.variables(frame.f_code)
        self.stack: list[Any] = []
        self.keywords: tuple[str, ...] = ()
        self.logged: tuple[int, int] = 0, 0  # from where to where the instruction has written into the log of writes
        self.called: Any = None  # what this instruction calls
        self.skip: int = -1  # the instruction that an EXTENDED_ARG has already stood for
        self.after: Any = None  # to be called when the instruction is done

    def event(self, frame: FrameType, event: str, arg: Any) -> Any:
        try:
            if event == "opcode":
                try:
                    self._step(frame.f_lasti)
                except (Refused, Repeat):
                    raise
                except Exception as error:
                    self.watcher.refuse(f"an instruction that could not be followed ({type(error).__name__}: {error})")
            elif event == "exception":
                self.after = None
                if self.logged[0] < self.logged[1]:
                    try:
                        self.watcher.take_back(*self.logged)
                    finally:
                        self.logged = 0, 0
                if isinstance(arg[1], NEEDS_VALUES):
                    self.watcher.need(arg[1].with_traceback(arg[2]))
            elif event == "return":
                if self.after is not None:
                    after, self.after = self.after, None
                    after()
                self.watcher.leave(self)
            return self.event
        except BaseException:
            self.watcher.leave_all()
            raise

    def _step(self, offset: int) -> None:
        if self.after is not None:
            after, self.after = self.after, None
            after()
        ins = self.table[offset]
        self._look(ins.depth)
        if ins.offset == self.skip:
            self.skip = -1
            return
        self.skip = ins.offset if ins.offset != offset else -1
        log = self.watcher.writes.log
        before = len(log)
        if ins.handler is None:
            self.watcher.refuse(f"an instruction of which it isn't known what it does ({ins.name})")
        self.called = None
        ins.handler(self, ins)
        self.logged = before, len(log)

    def _look(self, depth: int) -> None:
        """Take the objects from the interpreter's stack, and decide on those that have just come there."""
        found = frames.stack(self.frame, self.before, depth)
        for said, value in zip(self.stack, found, strict=False):
            if said is FRESH:
                self.watcher.made(value)
            elif said is UNKNOWN:
                self.watcher.arrive(value, on_stack=True)
        self.stack[:] = found

    # --- what handlers use ----------------------------------------------------------------------------------------

    def pop(self, count: int = 1) -> Any:
        stack = self.stack
        if count == 1:
            return stack.pop() if stack else UNKNOWN
        if count == 0:
            return []
        taken = stack[-count:]
        del stack[-count:]
        return [UNKNOWN] * (count - len(taken)) + taken

    def replace(self, index: int, value: Any) -> None:
        """Put another object on the interpreter's stack, `index` from its bottom."""
        frames.replace(self.frame, self.before, index, value)

    def push(self, value: Any = UNKNOWN) -> None:
        self.stack.append(value)


class Refused(BaseException):
    """Ends a trace at something that a program cannot repeat. No user's code catches it by accident."""


class Repeat(BaseException):
    """The trace is to be made once more: what it has found out changes what it would do (an operator calls back)."""


class Watcher:
    """Follows the user's functions in this thread, between `start` and `stop`."""

    def __init__(self, reads: Any, writes: Any):
        self.reads = reads
        reads.taken_from = self.taken_from
        reads.walked = self.walked
        self.writes = writes
        self.shadows: dict[FrameType, Shadow] = {}
        self.fresh: dict[int, Any] = {}  # objects that the function made, by id
        self.unsure: Any = writes.unsure
        self.asked: list[
            tuple[Any, type]
        ] = []  # abstract classes, and the classes of which it was asked whether they are theirs
        self.aside: set[FrameType] = (
            set()
        )  # finalizers, modules that are being imported, hooks of imports, and what they call
        self.looked_at_attributes = False  # of the tensors that the caller gave
        self.refused: Exception | None = None
        self.unwinding: Unwinding = Unwinding()
        self.originals: dict[
            int, tuple[int, Tensor]
        ] = {}  # id of a stand-in -> the number of the argument, and the argument
        self.leaves: set[int] = set()  # arguments of which the function asks whether they are leaves of the tape
        self.asked_tensors: dict[int, Tensor] = {}  # others of which it asks whether they are on the tape, by id
        self.told_apart: dict[int, Tensor] = {}  # of which it was asked which ones they are
        self.taken: set[int] = set()  # arguments of which the function asks which objects they are
        self.apart: list[tuple[int, Tensor]] = []  # arguments, and tensors that they were compared with and are not
        self.compared_containers: dict[int, Any] = {}  # of which it was asked whether they are others, by id
        self.decimals = False  # whether it computes with decimals, which look into a context of the thread
        self.weak = False  # whether it looks whether an object is still alive
        self.arguments: dict[int, Any] = {}  # containers that stand for the caller's, and the way to these, by id
        self.kept: dict[
            int, Any
        ] = {}  # NumPy's arrays and tuples among the caller's objects, and the way to these, by id
        self.attribute_tables: dict[int, Any] = {}  # `__dict__`s of objects that were there before

    def begin(self, function: Any, leaves: list[Any], call: Any) -> None:
        """Take down what the trace begins with: the function, and the caller's objects."""
        for leaf in leaves:
            for found in vars(leaf).values() if isinstance(leaf, Tensor) else (leaf,):
                self.reads.see(found)
        stack: list[tuple[Any, tuple[Any, ...]]] = [(call[0], (0,)), (call[1], (1,))]
        while stack:
            value, path = stack.pop()
            is_record = is_dataclass(value) and not isinstance(value, type) and id(value) not in self.reads.old
            if len(path) > 1 and (isinstance(value, (list, dict, deque)) or is_record) and tree.opens(value):
                self.arguments[id(value)] = value, path
                self.writes.given[id(value)] = value
                self.made(value)
            elif len(path) > 1 and isinstance(value, (np.ndarray, tuple)):  # told by what it holds, and kept as itself
                self.kept[id(value)] = value, path
            if len(path) > 1 and not tree.opens(value):
                continue  # it is the caller's, and so is what it holds
            if isinstance(value, (list, tuple, deque)):
                stack += [(part, (*path, i)) for i, part in enumerate(value)]
            elif isinstance(value, dict):
                stack += [(part, (*path, key)) for key, part in value.items()]
            elif is_record and hasattr(value, "__dict__"):
                stack += [(part, (*path, ATTRIBUTE, name)) for name, part in vars(value).items()]
        given = call[0]
        for found in unwrapped(function):
            layers_run(found, given)
            if isinstance(found, functools.partial):
                given = (*found.args, *given)
                self.reads.see(found)
                self.reads_of_partial(found)
            elif isinstance(found, MethodType):
                self.reads.see(found.__self__)
                if isinstance(found.__func__, FunctionType):
                    self.reads_of_function(found.__func__)
            elif isinstance(found, FunctionType):
                self.reads_of_function(found)

    def is_argument(self, tensor: Tensor) -> bool:
        """Whether a tensor stands for one that the caller gave."""
        trace = grad_state.trace
        return trace is not None and id(tensor) in trace.stand_ins

    def asked_which(self, thing: Any) -> None:
        """Somebody looks which object this is (as a key, by `id`, in a list)."""
        if isinstance(thing, tuple):
            for part in thing:
                self.asked_which(part)
            return
        if isinstance(thing, Tensor):
            self.told_apart[id(thing)] = thing
        if id(thing) in self.originals:
            self.taken.add(self.originals[id(thing)][0])
        elif (name := compares_with_traces(type(thing))) is not None:
            self.refuse(f"it looks for a {type(thing).__name__} by {name}, which changes something itself")

    def asked_place(self, tensor: Tensor, name: str) -> None:
        """Somebody looks at a tensor's place on the tape, or counts its changes."""
        if id(tensor) in self.originals:
            number, original = self.originals[id(tensor)]
            if name in ("_version", "_base", "_is_view") or (original.requires_grad and not original.is_leaf):
                self.refuse(f"it asks for {name} of an argument, which is another one here: ask outside")
            self.leaves.add(number)
        elif self.is_traced(tensor) or name in ("_base", "_is_view"):
            pass
        elif name in ("requires_grad", "is_leaf"):
            self.asked_tensors[id(tensor)] = tensor
        else:
            grad_state.trace.guard(lambda: getattr(tensor, name), f"{name} of a tensor is something else now")

    def compared(self, a: Any, b: Any) -> None:
        """Somebody asks whether two tensors are one."""
        for one, other in ((a, b), (b, a)):
            if id(one) not in self.originals or id(other) in self.originals or not isinstance(other, Tensor):
                continue
            number, original = self.originals[id(one)]
            if original is other:
                self.taken.add(number)
            elif not self.is_traced(other):
                self.apart.append((number, other))

    def is_traced(self, tensor: Tensor) -> bool:
        """Whether a tensor was made in the trace, or stands for an argument."""
        return is_traced(tensor._storage)

    _collects = _froze = _begun = False
    replaces: bool = False

    def start(self) -> None:
        self._previous = sys.gettrace()
        self.replaces = frames.replaceable()
        if not self._begun:  # a second start, for a function's backward, goes on with what the first one holds still
            self._begun = True
            self._still()
        frames.trace_opcodes(self._call)

    def _still(self) -> None:
        room.tracing, self._collects = True, gc.isenabled()
        gc.disable()  # whoever asked to be called by the collector is no part of the function
        # what is young from here on was made by the function; nobody has to look through the rest of the process for it
        self._froze = gc.get_freeze_count() < _OF_PYTHON
        if self._froze:
            gc.freeze()
        else:
            gc.collect(0)

    def look_for_waiting(self) -> None:
        """Raises Untraceable where the function has left a generator in the middle: what that does at its end is not seen."""
        if any(map(waits_in_a_block, self.shadows)):
            raise Untraceable(
                "it leaves a generator within a `try` or `with`, whose end runs when Python frees the generator"
            )

    def stop(self) -> None:
        sys.settrace(self._previous)
        self.shadows.clear()
        self.aside.clear()

    def end(self) -> None:
        """The trace has been written down: what is young may grow old."""
        if self._froze:
            gc.unfreeze()
        if self._collects:
            gc.enable()
        self._collects = self._froze = self._begun = room.tracing = False

    def was_there(self, thing: Any) -> bool:
        """Whether an object was there before the trace, if nobody has met it until now either."""
        if id(thing) not in self.fresh and id(thing) not in self.reads.old:
            self.arrive(thing)
            if id(thing) in self.unsure:
                raise Untraceable(
                    f"it gives out or keeps a {type(thing).__name__} of which it can't be seen whether it is a new one"
                )
        return self.is_old(thing)

    def take_back(self, start: int, end: int) -> None:
        """The instruction that was about to change something has raised."""
        writes = self.writes
        for entry in writes.log[start:end]:
            name = getattr(getattr(entry, "function", None), "__name__", "")
            if isinstance(entry, Place):
                writes.take_back_place(entry)
                self.read(entry)
                continue
            if name not in _ALL_OR_NOTHING or len(writes.log) != end:
                self.refuse(f"a change of a {type(entry.container).__name__} ({name}) has raised")
            writes.take_back(entry)
            if self.is_old(entry.container):
                self.reads.content(entry.container)

    def walked(self, module: Any) -> None:
        """A library's function looks through a module: what it consists of matters."""
        trace = grad_state.trace
        for part in module.modules():
            trace.reached[part] = None

    def refuse(self, what: str) -> None:
        """End the trace: the code does what a program cannot do at each call."""
        if self.refused is None:
            self.refused = Untraceable(what)
        self.leave_all()
        raise Refused(what)

    def need(self, error: Exception) -> None:
        """End the trace: the code needs values. Its own `except` is not to take that for an error of its own."""
        if self.refused is None:
            self.refused = error
        self.leave_all()
        raise Refused(str(error)) from error

    def leave_all(self) -> None:
        """The trace ends here: no handler of the user's functions is to run on the way out."""
        self.unwinding.begin(self.shadows)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        try:
            code = frame.f_code
            if code.co_name in ("__del__", "<module>") or (self.aside and frame.f_back in self.aside):
                self.aside.add(frame)
                return None
            if code.co_name == "__init__" and code.co_argcount:
                self.made(frame.f_locals.get(code.co_varnames[0]))
            kind = kind_of_code(code, frame.f_globals)
            back = frame.f_back
            while (
                back is not None and back.f_code.co_filename == _STAND_INS
            ):  # what stands for a function in C calls as it does
                back = back.f_back
            if kind != LIBRARY and back is not None and back.f_code.co_filename.startswith("<frozen importlib"):
                self.aside.add(frame)  # a hook of imports
                return None
            caller = self.shadows.get(back) if back is not None else None
            if kind == LIBRARY or (kind == STANDARD and caller is None):
                return None
            if frame in self.shadows:  # a generator that goes on
                return self.shadows[frame].event
            function = frames.function_of(frame)
            self._know_self(frame, function, by_library=caller is None)
            shadow = self.shadows[frame] = Shadow(self, frame, function)
            self._enter(shadow, caller)
            frame.f_trace = shadow.event  # Python 3.13 tells of opcodes only frames that have it when they ask
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
            return shadow.event
        except BaseException:
            self.leave_all()
            raise

    _call.of_users_only = True  # type: ignore[attr-defined]

    def leave(self, shadow: Shadow) -> None:
        if not shadow.code.co_flags & 0x2A0:
            self.shadows.pop(shadow.frame, None)

    def _enter(self, shadow: Shadow, caller: Shadow | None) -> None:
        function = shadow.function
        if function is not None and id(function) not in self.fresh:
            self.reads_of_function(function)
        code = shadow.code
        if code.co_argcount:
            first = shadow.frame.f_locals.get(code.co_varnames[0])
            access.found_in_class(self, first, code)
            if caller is None and function is None and isinstance(first, (Module, Optimizer)):
                self.reads.see(first)

    def reads_of_function(self, function: FunctionType) -> None:
        """A function is its code and its defaults, which can be replaced."""
        self.reads.see(function)
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self.read(Attribute(function, name))
        if function.__kwdefaults__:
            self.reads.content(function.__kwdefaults__)

    def reads_of_partial(self, partial: functools.partial[Any]) -> None:
        """What a partial function holds; its keywords are a dict, which can be changed."""
        for part in (partial.func, *partial.args, *partial.keywords.values()):
            self.reads.see(part)
        for name in ("func", "args", "keywords"):
            self.read(Attribute(partial, name))
        self.reads.content(partial.keywords)

    def _know_self(self, frame: FrameType, function: Any, by_library: bool) -> None:
        """The object whose method runs is one that was there before, or fresh."""
        code = frame.f_code
        if code.co_argcount:
            first = frame.f_locals.get(code.co_varnames[0], UNKNOWN)
            if isinstance(first, (Tensor, type, Symbol)):
                return
            for base in type(first).__mro__:
                raw = type.__getattribute__(base, "__dict__").get(code.co_name)
                raw = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
                if getattr(raw, "func", raw) is function:
                    self.known(first)
                    if by_library:
                        self._found_in_class(first, code.co_name)
                    return
            if by_library:  # it may be there under another name
                own = [name for base in type(first).__mro__ for name, raw in vars(base).items() if raw is function]
                for name in own:
                    self._found_in_class(first, name)

    def _found_in_class(self, thing: Any, name: str) -> None:
        """A library has looked up a method of the user's: which one it finds matters. A module's `forward` has a check of its own."""
        if not isinstance(thing, Module) or name not in ("forward", "__call__"):
            owner = type(thing) if isinstance(thing, Module) else thing
            if id(owner) not in self.fresh:
                self.reads.see(owner)
            self.read(Attribute(owner, name))

    def known(self, thing: Any) -> None:
        """An object of the user's that code reaches: it was there before unless the trace made it."""
        if id(thing) not in self.fresh and not isinstance(thing, (list, dict, set, tuple)):
            self.reads.see(thing)

    def made(self, thing: Any) -> None:
        """Note an object that the function has made."""
        if thing is not None and id(thing) not in self.reads.old:
            self.fresh[id(thing)] = thing

    def arrive(self, thing: Any, on_stack: bool = False) -> None:
        """An object comes out of code that could not be followed: note whether it was there before, or is new."""
        key, kind = id(thing), type(thing)
        if kind in PLAIN or key in self.fresh or key in self.reads.old or isinstance(thing, _TOLD_OTHERWISE):
            return
        if kind is decimal.Decimal and not self.decimals:
            self.decimals = True
            grad_state.trace.guard(_decimal_context, "the context of decimal arithmetic is another one now")
        if (on_stack and getrefcount(thing) <= _ALONE) or self.is_young(thing):
            self.fresh[key] = thing
        else:
            self.reads.see(thing)
            if not gc.is_tracked(thing):
                self.unsure[key] = thing

    def is_young(self, thing: Any) -> bool:
        """Whether an object has been made since the trace began, as far as the collector knows it."""
        return any(young is thing for young in gc.get_objects(generation=0))

    def inherits(self, kind: type, cls: Any) -> None:
        """Somebody asks whether a class counts as one of an abstract class's, with which others can be registered."""

        def look() -> bool:
            return issubclass(kind, cls)

        trace = grad_state.trace
        if not any(what is cls and seen is kind for what, seen in self.asked):
            self.asked.append((cls, kind))
            trace.guard(look, f"{kind.__name__} counts as another class's, or no more")

    def is_old(self, thing: Any) -> bool:
        """Whether an object was there before the trace."""
        return id(thing) in self.reads.old and id(thing) not in self.fresh

    def taken_from(self, iterator: Any) -> None:
        """Refuse that values are taken from an iterator that was there before."""
        if self.is_old(iterator):
            self.refuse(f"it takes values from an iterator ({type(iterator).__name__}) that was there before")

    def read(self, place: Any) -> Any:
        """The value in a place; the program depends on it unless the function itself has put it there."""
        value = place.get()
        if id(place.owner) in self.writes.away:
            self.refuse(
                "it looks at what a scheduler's step changes, after that step: the compiled function makes the step after its run"
            )
        if self.is_old(place.owner) and not self.writes.is_written(place):
            self.reads.place(place, value)
        return value


def _decimal_context() -> tuple[Any, ...]:
    now = decimal.getcontext()
    return now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, *now.traps.values()


def _baseline() -> int:
    """What `getrefcount` says in `arrive` of an object that only the interpreter's stack holds."""

    def arrive(thing: Any, on_stack: bool = True) -> int:
        return getrefcount(thing)

    held = [object()]  # as on the stack
    found, counts = list(held), []
    for _, value in zip([UNKNOWN], found, strict=False):
        counts.append(arrive(value))
    return counts[0]


_ALONE = _baseline()
_STAND_INS = Direct.__call__.__code__.co_filename
# Methods that change nothing where they raise.
_ALL_OR_NOTHING = frozenset(
    "pop popleft popitem remove setitem delitem __setitem__ __delitem__ insert append appendleft move_to_end heappop heapreplace add "
    "discard rotate".split()
)
_TOLD_OTHERWISE = (
    tuple,
    Tensor,
    Module,
    Optimizer,
    HostValue,
    type,
    ModuleType,
    Symbol,
)  # whether these are new is known


__all__ = ["Refused", "Repeat", "Shadow", "Watcher"]
