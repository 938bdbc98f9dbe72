"""The public side of compilation: `compile`, `explain`, and the errors of a trace."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import traceback
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..core.array import dtypes, room
from ..core.context.grad_mode import state as grad_state
from ..core.context.overrides import no_subclasses
from ..core.context.tracing import NEEDS_VALUES, Untraceable
from ..core.context.warned import warn_once
from ..core.dispatch.host_numbers import Strict, sources
from ..core.tensor import tree
from ..core.tensor.tensor import Tensor
from ..runtime.ranks import here
from .arguments import Conflict, Together, may_be_apart, share, sharing
from .backwards import hooked
from .batches import Batches, Entry, Group
from .capture import Capture, Failed, Traced
from .controls import Disabled
from .guards.code import STANDARD, USER, kind_of_file
from .guards.modules import is_library_class
from .guards.reads import source_key
from .guards.remembering import NotYet
from .guards.shadow import Repeat
from .guards.values import PLAIN, is_number
from .inputs import Again, Inputs
from .plan import Unevaluable
from .program import TracedProgram
from .stance import limits, stance
from .surroundings import held_for, is_watched
from .undisturbed import undisturbed
from .words import cure, difference, name_of, place_of, with_names

_PACKAGES = tuple(os.path.dirname(os.path.dirname(os.path.abspath(path))) + os.sep for path in (__file__, jax.__file__))
_ATTEMPTS = 8  # traces of one call, each of which may find further inputs
NUMBER = "a number, which is an input"
_tracing = threading.RLock()  # one trace at a time: it puts stand-ins into Python's own objects
_everything: weakref.WeakSet[Compiled] = weakref.WeakSet()


class CompileError(RuntimeError):
    """Something in a compiled function needs values that are only known when the program runs."""


class RecompileError(RuntimeError):
    """A function would be compiled again, and `torch._dynamo.config.error_on_recompile` forbids it."""


class FailOnRecompileLimitHit(Exception):
    """A function has as many programs as it may have, and `torch._dynamo.config.fail_on_recompile_limit_hit` is set."""


def user_line(error: BaseException, function: Any = None) -> str:
    """The innermost line of the traceback that the user has written; what he calls of Python's own library is not his. Where an error
    has none, the line where the function begins.
    """
    frames = traceback.extract_tb(error.__traceback__)
    for kinds in ((USER,), (USER, STANDARD)):
        for frame in reversed(frames):
            own = not frame.filename.startswith(_PACKAGES) and not frame.filename.startswith("<")
            if own and kind_of_file(frame.filename) in kinds:
                return f'{frame.filename}, line {frame.lineno}, in {frame.name}: "{frame.line}"'
    return place_of(function)[2:-1] or "an unknown line"


def _explained(error: Exception, name: str, function: Any = None) -> CompileError:
    line = user_line(error, function)
    if isinstance(error, Untraceable):
        return CompileError(f"{line}: {error}")
    if isinstance(error, NEEDS_VALUES):
        return CompileError(
            f"{line} needs a value while {name} is being compiled, when only shapes and dtypes are known.\n"
            "  Instead of `if x.sum() > 0: y = a` write `y = torch.where(x.sum() > 0, a, b)`;\n"
            "  return the tensor and call .item(), .numpy() or bool() on it outside;\n"
            "  or leave it as it is: with fullgraph=False (the default) such a call runs uncompiled."
        )
    return CompileError(f"{line} raised {type(error).__name__} while {name} was being compiled: {error}")


def _taped(leaf: Tensor) -> int:
    """Whether a tensor requires grad: 0, 1, or 2 with hooks."""
    edge = leaf._tape_edge()
    return 0 if edge is None else 1 + hooked(edge)


def _looks(leaf: Tensor) -> tuple[Any, ...]:
    if type(leaf) is Tensor:
        return leaf.shape, leaf._np_dtype, _taped(leaf), Tensor, leaf.is_contiguous()
    with no_subclasses():  # nobody's `__torch_function__` is to see it
        return leaf.shape, leaf._np_dtype, _taped(leaf), type(leaf), leaf.is_contiguous()


class Compiled:
    """A function that runs as XLA programs, one for each signature of its arguments and state."""

    def __init__(
        self, function: Callable[..., Any], fullgraph: bool = False, quiet: bool = False, dynamic: bool | None = None,
        whole: bool = False, name: str | None = None, limit: int | None = None,
    ):  # fmt: skip
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = name_of(function) if name is None else name
        self.fullgraph = fullgraph
        self.quiet = quiet  # a child of a module that could not be one program: the warning was given there
        self.programs: OrderedDict[Any, list[TracedProgram | Uncompiled]] = OrderedDict()
        self.inputs: Inputs = Inputs()
        self.apart: bool = True  # until it writes into arguments that share memory
        self.dynamic = dynamic
        self.whole = whole  # equal blocks are no programs of their own
        self.limit = limit  # of the programs of all signatures; None: `limits.programs` of each
        self.batches: Batches | None = None if dynamic is False else Batches(bool(dynamic))
        self.children: dict[int, tuple[Any, Compiled | None]] = {}
        self.traces: int = 0
        self.reasons: list[str] = []  # of the last traces
        self.lock: Any = threading.RLock()  # a call reads state, and writes it when the program has run
        self.warned: set[str] = set()
        self._quick: TracedProgram | None = None  # the last program, if it takes plain tensors only
        _everything.add(self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        quick = self._quick
        if quick is not None and not kwargs:
            with self.lock:
                if quick.fits(args):
                    try:
                        return quick.call(args, args)
                    except Unevaluable:
                        return self._uncompiled(args, kwargs)
        if grad_state.trace is not None or grad_state.transforms:
            return self.function(*args, **kwargs)  # a part of the program that is being traced
        if grad_state.uncompiled or grad_state.modes or grad_state.dispatch_modes:
            if here.rank is not None:
                warn_once(
                    "ranks that are threads of one process (--devices-in-process) run compiled functions uncompiled"
                )
            return self.function(*args, **kwargs)  # modes see what runs, and a program holds no Python
        if grad_state.watchers and is_watched():
            return self.function(*args, **kwargs)
        if grad_state._observer is not None:
            if grad_state.observed is not self:
                grad_state.observed = self
                return grad_state._observer(self, None, args, kwargs)
            grad_state.observed = None
        if stance.value != "default":
            return self._by_stance(args, kwargs)
        return self._call(args, kwargs)

    def _call(self, args: Any, kwargs: Any, again: bool = False) -> Any:
        leaves, treedef = _taken_apart(args, kwargs)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = self._key(leaves, treedef, tensors)
        if key is None:
            return self._uncompiled(args, kwargs)
        try:
            return self._run(key, leaves, treedef, tensors, (args, kwargs), again)
        except Strict:  # a number can't be an input after all
            return self._call(args, kwargs)
        except Together:
            self.apart = False
            return self._call(args, kwargs)

    def _run(self, key: Any, leaves: Any, treedef: Any, tensors: Any, call: Any, again: bool) -> Any:
        args, kwargs = call
        program, reason = self._find(key, tensors, leaves)
        if program is None:
            with _tracing:
                if key not in self.programs:
                    key = self._take_numbers_in(key, leaves, treedef, tensors)
                program, reason = self._find(key, tensors, leaves)  # another thread may have been here
                if program is None:
                    program = self._trace(key, call, reason)
        if program is None or isinstance(program, Uncompiled) or _is_reached(program, call, tensors, leaves):
            return self._uncompiled(args, kwargs)
        with self.lock:
            if program.broken_by(tensors, leaves) is None:  # another thread may have called it meanwhile
                self._quick = program.quick(args, key[2:]) if not kwargs else None
                with contextlib.suppress(Unevaluable):
                    return program.call(tensors, leaves, call)
                again = True
            if not program.runs.calls:  # it was traced for this call, and what the trace has begun is not to stay
                program.runs.give_up()
                self._drop(key, program)
        if again:
            return self._uncompiled(args, kwargs)
        return self._call(args, kwargs, again=True)

    def _find(self, key: Any, tensors: Any, leaves: Any) -> tuple[Any, str]:
        """The program that holds for a call, or why the last one does not."""
        reason = ""
        programs = self.programs
        known = programs.get(key)
        if known is not None:
            if next(reversed(programs)) is not key:
                programs.move_to_end(key)
            for i, program in enumerate(known):
                broken = program.broken_by(tensors, leaves)
                if broken is None:
                    if i:
                        known.insert(0, known.pop(i))
                    return program, ""
                reason = reason or broken
        return None, reason

    # --- keys -----------------------------------------------------------------------------------------------------

    def _key(self, leaves: list[Any], treedef: Any, tensors: list[Tensor]) -> Any:
        """What tells calls apart before anything is looked at. None for arguments that can be taken only once."""
        parts: list[Any] = []
        numeric = self.inputs.leaves
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                parts.append(_looks(leaf))
                if leaf.__dict__:
                    own = tuple((name, _static(value), type(value)) for name, value in leaf.__dict__.items())
                    parts[-1] = (*parts[-1], own)
            elif i in numeric and is_number(leaf):
                parts.append((NUMBER, type(leaf)))
            else:
                if hasattr(type(leaf), "__next__"):
                    return None
                parts.append((_static(leaf), type(leaf)))
        if share(tensors):
            parts.append(sharing(tensors, self.apart and may_be_apart(tensors)))
        return treedef, tuple(parts), *held_for()

    def _take_numbers_in(self, key: Any, leaves: Any, treedef: Any, tensors: Any) -> Any:
        """Make numbers that have changed since an earlier call inputs of the programs to come; the key that follows."""
        for known in reversed(self.programs):
            if known[0] != key[0] or known[2:] != key[2:] or len(known[1]) != len(key[1]):
                continue
            differ = [i for i, (a, b) in enumerate(zip(known[1], key[1], strict=True)) if a != b]
            if not differ or not self.inputs.never.isdisjoint(differ):
                continue
            if all(i < len(leaves) and is_number(leaves[i]) and known[1][i][1] is type(leaves[i]) for i in differ):
                self.inputs.leaves.update(differ)
                return self._key(leaves, treedef, tensors)
        return key

    # --- tracing --------------------------------------------------------------------------------------------------

    def _trace(self, key: Any, call: Any, reason: str) -> TracedProgram | Uncompiled | None:
        held = self.programs.get(key, [])
        if self._has_all(held):
            self._tell_of_limit(held, call, reason)
            return None
        if held:
            self._learn(held[0])
        leaves, treedef = tree.flatten_once(call)
        reason = with_names(reason, self.function, treedef, len(leaves))
        group = self.batches.group(key, leaves, self.programs) if self.batches is not None else None
        reason = reason or (self._difference(key, len(leaves), group) if self.programs else "first call")
        if limits.one_program and self.programs and not self._is_open(key, leaves):
            raise RecompileError(f"Recompiling function {self.name}{place_of(self.function)}\n    because: {reason}")
        self.reasons = [*self.reasons[-2:], reason]
        program: TracedProgram | Uncompiled | None = None
        try:
            with undisturbed():
                program = self._traced(group, leaves, treedef, reason)
            if _is_reached(program, call, (), ()):
                program.runs.give_up()
                raise Failed(
                    Untraceable("it changes an argument, or part of one, that it also reaches by another way"), None
                )
        except Failed as failed:
            error, reads = failed.error, failed.reads
            if self.fullgraph and not isinstance(error, NotYet):
                raise (
                    _explained(error, self.name, self.function) if isinstance(error, NEEDS_VALUES) else error
                ) from error.__cause__
            program = Uncompiled(reads, error, self.name, self.function)
            failed.let_frames_go()
        except BaseException:
            if isinstance(program, TracedProgram):  # a signal's handler has raised
                program.runs.give_up()
            raise
        self._keep(key, program)
        if isinstance(program, TracedProgram) and program.entry and program.entry.joins:
            return program
        self.traces += 1
        if self.traces == limits.programs + 1 and not isinstance(program, Uncompiled):
            self._warn(
                f"{self.name}{place_of(self.function)} has been compiled {self.traces} times, the last times because: "
                f"{'; '.join(self.reasons)}. Each program takes time and memory: pad or bucket what changes, or leave it uncompiled.",
                "often",
            )
        return program

    def _has_all(self, held: list[TracedProgram | Uncompiled]) -> bool:
        """Whether there are as many programs as there may be: of the signature that has these, or of all."""
        if self.limit is None:
            return len(held) >= limits.programs
        return sum(map(_weight, self.programs.values())) >= self.limit

    def _tell_of_limit(self, held: list[TracedProgram | Uncompiled], call: Any, reason: str) -> None:
        count = len(held) if self.limit is None else self.limit
        strict = "fail_on_recompile_limit_hit" if limits.strict else "fullgraph=True"
        if limits.strict or (self.fullgraph and self.limit is not None):
            raise FailOnRecompileLimitHit(
                f"Hard failure due to {strict}: {self.name}{place_of(self.function)} has {count} programs"
            )
        times = f"{count} times for the same arguments" if self.limit is None else f"{count} times (recompile_limit)"
        before = f" Before: {'; '.join(self.reasons)}." if self.reasons else ""
        self._warn(
            f"{self.name}{place_of(self.function)} has been compiled {times}, and runs uncompiled "
            f"where none of these programs holds. This time: {with_names(reason, self.function, *_structure(call)) or 'another call'}.{before}",
            "limit",
        )

    def _traced(self, group: Group | None, leaves: Any, treedef: Any, reason: str) -> TracedProgram:
        if group is None or self.batches is None:
            return self._made(self._capture(leaves, treedef), reason)
        failed = group.failed
        traced, entry = self.batches.trace(group, leaves, lambda leaves: self._capture(leaves, treedef))
        if group.failed and not failed:
            self._warn(f"{self.name}{place_of(self.function)} has a program for each size: {group.failed}", "sizes")
        return self._made(traced, reason, entry)

    def _made(self, traced: Traced, reason: str, entry: Entry | None = None) -> TracedProgram:
        try:
            return TracedProgram(traced, reason, self.name, entry, self.whole)
        except Untraceable as error:  # it has been traced, but can't be one program
            traced.give_up()
            raise Failed(error, None) from None

    def _capture(self, leaves: Any, treedef: Any) -> Traced:
        bound: frozenset[int] = frozenset()
        for _ in range(_ATTEMPTS):
            try:
                return Capture(self.function, leaves, treedef, bound, self.inputs, self.apart).finish()
            except Conflict as conflict:
                bound = conflict.arguments
                if self.apart and share([leaf for leaf in leaves if isinstance(leaf, Tensor)]):
                    raise Together from None
            except Again as again:
                if not self.inputs.never.isdisjoint(again.places):
                    raise Failed(Untraceable("it counts in a number whose type it asks for"), None) from None
                self.inputs.places.update(again.places)
            except Repeat:
                continue
            except Strict as strict:
                keys = set(map(source_key, sources(strict.expression)))
                if strict.never:
                    self.inputs.forget(keys)
                    raise
                self.inputs.strict |= keys
            except Failed:
                if not self._make_strict():
                    raise
        raise Failed(Untraceable("the numbers that it changes are not the same ones from trace to trace"), None)

    def _make_strict(self) -> bool:
        """Whether ints that were stood for by floats may be why a trace has failed: then they are ints from now on."""
        every = {*self.inputs.places, *self.inputs.leaves}
        if every <= self.inputs.strict:
            return False
        self.inputs.strict |= every
        return True

    def _learn(self, last: TracedProgram | Uncompiled) -> None:
        """What has changed since the last trace becomes an input of the next program, where that can be."""
        if isinstance(last, TracedProgram):
            changed = last.conditions.changed_numbers()
            self.inputs.places.update({k: p for k, p in changed.items() if k not in self.inputs.never})
            self.inputs.moving.update(last.conditions.changed_tensors())

    def _keep(self, key: Any, program: TracedProgram | Uncompiled) -> None:
        self.programs.setdefault(key, []).insert(0, program)
        while sum(map(_weight, self.programs.values())) > limits.signatures:
            self.programs.popitem(last=False)
            self._let_sizes_go()

    def _let_sizes_go(self) -> None:
        if self.batches is not None:
            self.batches.let_go([program for known in self.programs.values() for program in known])

    def _drop(self, key: Any, program: TracedProgram) -> None:
        known = self.programs.get(key, [])
        if program in known:
            known.remove(program)
        if not known:
            self.programs.pop(key, None)

    def let_go(self, everything: bool) -> None:
        """Let go of the programs that were not called since the last time, or of all."""
        kept: OrderedDict[Any, list[TracedProgram | Uncompiled]] = OrderedDict()
        for key, known in list(self.programs.items()) if not everything else ():
            in_use = [program for program in known if isinstance(program, Uncompiled) or program.runs.was_used()]
            if in_use:
                kept[key] = in_use
        self.programs = kept  # another one: other threads may be looking through the old one
        self._quick = None
        self._let_sizes_go()

    # --- uncompiled -----------------------------------------------------------------------------------------------

    def _uncompiled(self, args: Any, kwargs: Any) -> Any:
        """Run the function as it stands; the modules that it calls are compiled one by one."""
        failed = self._why_not()
        before, grad_state.regional = grad_state.regional, self._child
        try:
            result = self.function(*args, **kwargs)
        finally:
            grad_state.regional = before
        if failed is not None:
            self._warn(f"{failed}\n{self.name} runs uncompiled.{cure(failed)}", "uncompiled")
        return result

    def _why_not(self) -> Any:
        if self.programs and not self.quiet:
            last = self.programs[next(reversed(self.programs))][0]
            return last.why if isinstance(last, Uncompiled) else None
        return None

    def _child(self, module: Any, args: Any, kwargs: Any) -> Any:
        """A module's call from the uncompiled function."""
        known = self.children.get(id(module))
        if known is None:
            worth = bool(module._modules) or not is_library_class(type(module))
            child = (
                Compiled(module._call_plainly, quiet=True, dynamic=self.dynamic, whole=self.whole, limit=self.limit)
                if worth
                else None
            )
            known = self.children[id(module)] = module, child
        if known[1] is None:
            return module._call_plainly(*args, **kwargs)
        return known[1](*args, **kwargs)

    def _by_stance(self, args: Any, kwargs: Any) -> Any:
        if stance.value == "force_eager":
            return self.function(*args, **kwargs)
        leaves, treedef = _taken_apart(args, kwargs)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = self._key(leaves, treedef, tensors)
        program, reason = (
            self._find(key, tensors, leaves) if key is not None else (None, "an iterator among the arguments")
        )
        if isinstance(program, TracedProgram):
            return program.call(tensors, leaves, (args, kwargs))
        if program is None and key is not None and self._is_open(key, leaves):
            return self._call(args, kwargs)
        if stance.value == "fail_on_recompile":
            raise RuntimeError(
                f"{self.name} would be compiled, and set_stance says fail_on_recompile: {reason or 'first call'}"
            )
        return self.function(*args, **kwargs)

    def _is_open(self, key: Any, leaves: Any) -> bool:
        """Whether another size of the arguments is a matter of a program that there is."""
        group = self.batches.group(key, leaves, self.programs) if self.batches is not None else None
        return group is not None and bool(group.fitting(group.sizes(leaves)))

    # --- words ----------------------------------------------------------------------------------------------------

    def _warn(self, text: str, kind: str = "") -> None:
        if not self.quiet and (kind or text) not in self.warned:
            self.warned.add(kind or text)
            warnings.warn(text, UserWarning, stacklevel=4)

    def _difference(self, key: Any, count: int, group: Group | None) -> str:
        """In what a new signature differs from the last one."""
        last = next(reversed(self.programs))
        text = with_names(difference(last, key), self.function, key[0], count)
        if text.startswith(("argument", "a part")) and (group is None or group.failed):
            self._advise(last, key)
        return text

    def _advise(self, last: Any, key: Any) -> None:
        """Tell once about `drop_last` when it looks like a DataLoader's smaller last batch."""
        shapes = [(a[0], b[0]) for a, b in zip(last[1], key[1], strict=False) if len(a) == 5 and len(b) == 5 and a != b]
        if not shapes or not all(a and b and a[1:] == b[1:] and b[0] < a[0] for a, b in shapes):
            return
        self._warn(
            f"{self.name} is compiled a second time for a smaller batch ({shapes[0][0][0]} -> {shapes[0][1][0]}). If it is the "
            "last batch of a DataLoader, drop_last=True saves this program.",
            "batch",
        )


@room.keeper
def _let_go(everything: bool) -> None:
    """Let go of programs of all compiled functions."""
    for compiled in list(_everything):
        compiled.let_go(everything)


class Uncompiled:
    """A call for which there can be no program, for as long as what the trace had read stays the same."""

    def __init__(self, reads: Any, error: Exception, name: str, function: Any):
        self.reads = reads
        self.why: str | None = None if isinstance(error, (Disabled, NotYet)) else str(_explained(error, name, function))

    def broken_by(self, tensors: Any, given: Any) -> str | None:
        return None if self.reads is None else self.reads.broken(given)


def _is_reached(program: TracedProgram, call: Any, tensors: Any, leaves: Any) -> bool:
    """Whether a container of the call's, or memory of NumPy's, is one that the program reaches by another way, and changes."""
    conditions = program.conditions
    has_arrays = len(leaves) > len(tensors) and any(isinstance(leaf, np.ndarray) for leaf in leaves)
    if has_arrays and conditions.memory.matters and conditions.memory.broken(tensors, leaves) is not None:
        return True
    return bool(conditions.reached) and not conditions.reached.keys().isdisjoint(tree.containers(call))


def _weight(programs: list[TracedProgram | Uncompiled]) -> float:
    """How much they count among those that are kept: one of a program for several sizes holds little of its own."""
    return sum(1 / 16 if isinstance(p, TracedProgram) and p.entry and p.entry.joins else 1 for p in programs)


def _taken_apart(args: Any, kwargs: Any) -> tuple[list[Any], Any]:
    """The leaves of a call's arguments and their structure, in a shorter form if there are only tensors."""
    return (list(args), len(args)) if not kwargs and _are_tensors(args) else tree.flatten_once((args, kwargs))


def _structure(call: Any) -> tuple[Any, int]:
    leaves, treedef = tree.flatten_once(call)
    return treedef, len(leaves)


def _are_tensors(values: Any) -> bool:
    return all(type(value) is Tensor for value in values)


def _static(leaf: Any) -> Any:
    """A value that the program is compiled for, as part of a key: plain values by value, everything else by identity."""
    kind = type(leaf)
    if kind is float or kind is complex:
        return repr(leaf)  # tells 0.0 from -0.0, and nan equals itself
    if kind in PLAIN:
        return leaf
    if isinstance(leaf, np.ndarray) and not leaf.dtype.hasobject:
        return leaf.shape, leaf.dtype, leaf.tobytes()
    if isinstance(leaf, np.generic):
        return leaf.dtype, leaf.tobytes()
    if isinstance(leaf, (dtypes.dtype, type)):
        return leaf
    return _Same(leaf)


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
