"""Parts of a network whose intermediate values are not kept: the backward pass computes them again.

While a part runs, each node that it puts on the tape is noted. When it has ended, what these nodes have saved is let go
of; the first of them that the backward pass reaches runs the part once more and collects what the nodes of that run
save, in the same order. Gradients thus go through the nodes of the first run, to whatever it used.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..autograd.graph import Kept, Saving, keep, kept_by, saved_of
from ..core.autograd.function import Function, FunctionCtx, FunctionNode, Snapshots
from ..core.context.generator import default_generator
from ..core.context.grad_mode import enable_grad, state
from ..core.dispatch import autocast
from ..core.tape.nodes import AccumulateGrad
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor, wrap
from ._selective import Selection


class CheckpointError(RuntimeError):
    """A checkpointed function computed something else the second time."""

    __module__ = "flambeau.utils.checkpoint"


class Options(NamedTuple):
    """How a part is computed again."""

    repeat_draws: bool = True
    check_metadata: bool = True
    early_stop: bool = True
    debug: bool = False


class Stop(BaseException):
    """All that is needed has been computed again."""


# --- what is the same in both runs -----------------------------------------------------------------------------------


class Draws:
    """The random numbers of a part: the states of the generators when they were first drawn from."""

    def __init__(self) -> None:
        self.states: dict[Any, Any] = {}
        self.notes: list[Any] = []  # of a trace, where draws are inputs

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note them while a part runs."""
        outer = state.draws

        def note(generator: Any) -> None:
            if outer is not None:
                outer(generator)
            if generator not in self.states:
                self.states[generator] = generator.get_state_bytes()

        with _drawing(note) if state.trace is None else state.trace.draws.noting(self.notes):
            yield

    @contextlib.contextmanager
    def repeating(self, late: Callable[[Any], Any]) -> Iterator[None]:
        """Draw the same ones again; afterwards the generators stand where they stood."""
        if state.trace is not None:
            with state.trace.draws.repeating([late(note) for note in self.notes]):
                yield
            return
        before = {default_generator: default_generator.get_state_bytes()} if self.states else {}
        repeated = set()

        def repeat(generator: Any) -> None:
            if generator in repeated:
                return
            repeated.add(generator)
            before.setdefault(generator, generator.get_state_bytes())
            if generator in self.states:
                generator.set_state_bytes(self.states[generator])

        try:
            with _drawing(repeat):
                yield
        finally:
            for generator, bytes_before in before.items():
                generator.set_state_bytes(bytes_before)


@contextlib.contextmanager
def _drawing(watch: Callable[[Any], None]) -> Iterator[None]:
    before, state.draws = state.draws, watch
    try:
        yield
    finally:
        state.draws = before


@contextlib.contextmanager
def casting(policy: Any) -> Iterator[None]:
    """Compute under this policy of `autocast`, with casts of its own."""
    before, casts = state.autocast, autocast.kept.casts
    state.autocast, autocast.kept.casts = policy, {}
    try:
        yield
    finally:
        state.autocast, autocast.kept.casts = before, casts


# --- compiled functions ----------------------------------------------------------------------------------------------


def _nothing(gradient: Any) -> Any:
    """A zero that XLA can't know to be one before it has the gradient."""
    first = gradient.real.reshape(-1)[:1].sum()
    return (first != first) & (first == 0)


def _late(value: Any, nothing: Any) -> Any:
    """The same values, to be had once `nothing` is there."""
    if value.dtype == np.bool_:
        return value ^ nothing
    if value.dtype.kind not in "fcV":
        return value + nothing.astype(value.dtype)
    return value + jnp.where(nothing, jnp.ones((), value.dtype), -jnp.zeros((), value.dtype))  # x + -0.0 is x


class Behind(dict[Any, Any]):
    """The values of storages in a trace, for a part that is computed again.

    XLA would find out that it computes the same twice and keep the first results (it drops `optimization_barrier` on the
    CPU before it looks for that). So the second run reads values that depend on the gradients that have arrived.
    Parameters are read as they are: what depends on nothing else is little.
    """

    def __init__(self, values: dict[Any, Any], owners: dict[Any, Any], nothing: Any):
        super().__init__()  # what is written meanwhile
        self.values_before = values
        self.owners = owners
        self.nothing = nothing
        self.seen: dict[Any, tuple[Any, Any]] = {}

    def get(self, storage: Any, default: Any = None) -> Any:
        if dict.__contains__(self, storage):
            return dict.__getitem__(self, storage)
        value = self.values_before.get(storage)
        if value is None and type(storage) is Storage and isinstance(storage.value, jax.core.Tracer):
            value = storage.value  # made in the trace
        if value is None:
            return default
        edge = self.owners[storage]._edge if storage in self.owners else None
        if edge is not None and type(edge[0]) is AccumulateGrad:
            return value
        known = self.seen.get(storage)
        if known is None or known[0] is not value:
            known = self.seen[storage] = (value, _late(value, self.nothing))
        return known[1]

    def __getitem__(self, storage: Any) -> Any:
        found = self.get(storage)
        if found is None:
            raise KeyError(storage)
        return found

    def __contains__(self, storage: Any) -> bool:
        return dict.__contains__(self, storage) or storage in self.values_before


@contextlib.contextmanager
def later(gradients: list[Any]) -> Iterator[Callable[[Any], Any]]:
    """In a trace, let all reads of what was there before give values that only exist once the first gradient does.

    Gives a function that makes such a value of an array. Outside of a trace, nothing has to be done.
    """
    trace = state.trace
    if trace is None or not gradients:
        yield lambda array: array
        return
    before, nothing = trace.values, _nothing(gradients[0])
    values = trace.values = Behind(before, trace.owners, nothing)
    try:
        yield lambda array: _late(array, nothing)
    finally:
        trace.values = before
        before.update(values)


def late_tensor(tensor: Tensor, late: Callable[[Any], Any]) -> Tensor:
    """The tensor, in a trace with values that `later` makes."""
    if state.trace is None:
        return tensor
    made = wrap(late(tensor._array))
    made._edge = tensor._tape_edge()
    return made


# --- parts -----------------------------------------------------------------------------------------------------------


class CheckpointInputs(Function):
    """What a part's tensors are saved by, so that hooks around the part, and a part around it, have their say."""


class Around:
    """What was in place around a part: it is for the second run, too.

    That is what those who watch the tape have put there (a sharded module's whole parameters), and whether modules are compiled one by
    one, since a program's node saves other things than the nodes of its operators.
    """

    def __init__(self) -> None:
        self.places = [watch.again for watch in state.watchers if hasattr(watch, "again")]
        self.compiled = state.regional, state.uncompiled

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        before = state.regional, state.uncompiled
        state.regional, state.uncompiled = self.compiled
        try:
            with contextlib.ExitStack() as stack:
                for place in self.places:
                    stack.enter_context(place())
                yield
        finally:
            state.regional, state.uncompiled = before


class Arguments:
    """A call's arguments, to be had again: tensors as they are now, all else as it will be."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]):
        values = (*args, *kwargs.values())
        tensors = tuple(v for v in values if isinstance(v, Tensor))
        self.count = len(args)
        self.names = tuple(kwargs)
        self.others = [(isinstance(v, Tensor), None if isinstance(v, Tensor) else v) for v in values]
        ctx = FunctionCtx()
        ctx._saved = tensors
        self.node = FunctionNode(CheckpointInputs, ctx, (), (), ())
        for watch in state.watchers:
            watch(self.node, ())
        if ctx._saved is tensors:
            ctx._saved = Snapshots(tensors)

    def again(self, change: Callable[[Tensor], Tensor]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, the tensors among them changed by `change`."""
        tensors = iter(self.node.ctx.saved_tensors)
        values = [change(next(tensors)) if is_tensor else value for is_tensor, value in self.others]
        return values[: self.count], dict(zip(self.names, values[self.count :], strict=True))


class Part(Saving):
    """One call of a checkpointed function."""

    takes_programs = True  # a compiled function in it keeps what it keeps

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, options: Options, context: Any = None):
        super().__init__()
        self.function = function
        self.arguments = Arguments(args, kwargs)
        self.options = options
        self.context = contextlib.nullcontext() if context is None else context  # of the second run
        self.policy = state.autocast
        self.draws, self.around = Draws(), Around()
        self.nodes: list[tuple[Any, list[int]]] = []  # weak reference, numbers of what it saves
        self.owners: list[Any] = []  # by number: the node that saves it
        self.metadata: list[dict[str, Any]] = []  # and what it looks like
        self.log: list[str] = []
        self.results: dict[int, Any] = {}  # those that a policy keeps, by identity
        self.kept: dict[int, Any] = {}  # by number: values that are among these
        self.selection: Any = None

    def first(self, args: Any, kwargs: Any, context: Any = None) -> Any:
        """Run the function, and let go of what it computed."""
        self.selection = context if isinstance(context, Selection) else None
        with self.draws.noting(), self, contextlib.nullcontext() if context is None else context:
            result = self.function(*args, **kwargs)
        self.forget()
        return result

    def __call__(self, node: Any, outputs: Any) -> None:
        if self.options.debug:
            self.log.append(_described(node, outputs))
        saved, positions, owner = saved_of(node), kept_by(node, outputs), weakref.ref(node)
        if positions or (saved and not isinstance(node, FunctionNode)):
            self.nodes.append((owner, positions))
        for i in positions:
            if id(saved[i]) in self.results:
                self.kept[len(self.owners)] = saved[i]
            self.owners.append(owner)
            self.metadata.append(_metadata(saved[i]))
        if self.selection is not None and self.selection.keeps(node, outputs):
            self.results.update((id(o), o) for o in outputs)

    def forget(self) -> None:
        """Let go of what the nodes have saved."""
        number = 0
        for owner, positions in self.nodes:
            node = owner()
            if node is not None and saved_of(node) is not None:
                keep(node, Kept(node, {p: number + i for i, p in enumerate(positions)}, self.value))
            number += len(positions)
        self.nodes, self.results = [], {}

    def value(self, number: int) -> Tensor:
        """What was saved under this number, computed again unless this backward pass has done it."""
        if number in self.kept:
            return wrap(self.kept[number])
        run = state.run
        found = None if run is None else run.recomputed.get(self)
        if found is None or number not in found:
            found = self.compute(run)
            if run is not None:
                run.recomputed[self] = found
        return found.pop(number)

    def compute(self, run: Any) -> dict[int, Tensor]:
        """Run the part again and collect what its nodes save."""
        second = Second(self)
        gradients = [] if run is None else [g[0] for g in run.arrived if g is not None]
        with contextlib.suppress(Stop), later(gradients) as late:
            repeating = self.draws.repeating(late) if self.options.repeat_draws else contextlib.nullcontext()
            args, kwargs = self.arguments.again(lambda tensor: late_tensor(tensor, late))
            with self.around.again(), second, enable_grad(), repeating, casting(self.policy), self.context:
                self.function(*args, **kwargs)
        second.check()
        return second.found


class Second(Saving):
    """The second run of a part: takes what its nodes save."""

    takes_programs = True

    def __init__(self, part: Part):
        super().__init__()
        self.part = part
        self.found: dict[int, Tensor] = {}
        self.metadata: list[dict[str, Any]] = []
        self.too_many = False
        self.log: list[str] = []

    def __call__(self, node: Any, outputs: Any) -> None:
        part, saved = self.part, saved_of(node)
        if part.options.debug:
            self.log.append(_described(node, outputs))
        for i in kept_by(node, outputs):
            number = len(self.metadata)
            if number == len(part.metadata):
                self.too_many = True
                raise Stop
            value = saved[i]
            self.metadata.append(_metadata(value))
            if part.owners[number]() is not None and number not in part.kept:
                self.found[number] = value.detach() if isinstance(value, Tensor) else wrap(value)
        if isinstance(part.context, Selection):
            part.context.keeps(node, outputs)
        if part.options.early_stop and len(self.metadata) == len(part.metadata):
            raise Stop

    def check(self) -> None:
        """Raises CheckpointError unless it saved what the first run did."""
        first, second = self.part.metadata, self.metadata
        if self.too_many:
            self.fail(
                "torch.utils.checkpoint: trying to save more tensors during recomputation than during the original "
                "forward pass.\n"
            )
        if len(first) != len(second):
            self.fail(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(first)}\n"
                f"Number of tensors saved during recomputation: {len(second)}.\n"
            )
        if self.part.options.check_metadata and first != second:
            told = "".join(
                f"tensor at position {i}:\nsaved metadata: {a}\nrecomputed metadata: {b}\n"
                for i, (a, b) in enumerate(zip(first, second, strict=True))
                if a != b
            )
            self.fail(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during "
                f"the forward pass.\n{told}.\n"
            )

    def fail(self, text: str) -> None:
        if not self.part.options.debug:
            raise CheckpointError(text + _TIP)
        logs = (
            ("Operations executed during the original forward:", self.part.log),
            ("Operations executed during recomputation:", self.log),
        )
        told = "\n\n".join("\n".join((title, "", *lines)) for title, lines in logs)
        raise CheckpointError(
            " An error happened while unpacking tensors; dumping logs of latest computation\nbecause you passed "
            f"`debug=True` to `torch.utils.checkpoint.checkpoint()`.\n\n{told}\n\n{text}"
        )


_TIP = (
    "\nTip: To see a more detailed error message, either pass `debug=True` to\n`torch.utils.checkpoint.checkpoint(...)` or "
    "wrap the code block\nwith `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to\nenable "
    "checkpoint‑debug mode globally.\n"
)


def _metadata(value: Any) -> dict[str, Any]:
    tensor = value if isinstance(value, Tensor) else wrap(value)
    return {"shape": tensor.shape, "dtype": tensor.dtype, "device": tensor.device}


def _described(node: Any, outputs: Any) -> str:
    made = ", ".join(f"{o.dtype}{list(o.shape)}" for o in outputs)
    return f"{node.name()} -> {made}" if made else node.name()
