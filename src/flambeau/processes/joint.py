"""Compiled functions whose collectives are operations of one program that all ranks run, as `psum` and the like.

Each rank traces and lowers the function by itself. What it would run is offered at each call, by a digest of the program: where
all ranks offer the same, they run it over the devices of their link; where they do not (a batch of another length, code that asks for the
rank, a rank that runs uncompiled), each runs its own program, which calls back to the host for every collective.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jaxlib import xla_client

from ..core.array import devices
from ..core.context.callbacks import Callback, raising
from . import exchange as meetings
from .errors import DistBackendError
from .exchange import Exchange
from .patterns import AXIS
from .running import Step

_SPEC = jax.sharding.PartitionSpec(AXIS)


class Together(NamedTuple):
    """A jaxpr whose collectives are XLA's, along the axis of the group's ranks."""

    jaxpr: Any
    exchange: Exchange
    sent: list[tuple[str, int]]  # its collectives: their names, and the bytes that come or go


def together(closed: Any) -> Together | None:
    """A traced function as one that all ranks run; None where that can't be: nothing is sent, something else than collectives
    of tensors calls back, collectives are within branches or loops, or several groups have some.
    """
    jaxpr = closed.jaxpr
    steps = {i: step for i, equation in enumerate(jaxpr.eqns) if (step := step_of(equation)) is not None}
    effects = [i for i, equation in enumerate(jaxpr.eqns) if equation.effects]
    exchanges = {id(step.exchange): step.exchange for step in steps.values()}
    if not steps or effects != list(steps) or len(exchanges) != 1 or len(devices.jax_devices("cpu")) != 1:
        return None
    (exchange,) = exchanges.values()
    if exchange.n == 1:
        return None
    made, sent = list(jaxpr.eqns), []
    for i, step in steps.items():
        before = made[i]
        if not before.outvars:  # a barrier: all have come, before the program begins
            continue
        values = before.invars[1:] if step.refusals else before.invars  # without the error word
        given = [atom.aval for atom in values]
        body = jax.make_jaxpr(jax.jit(step.in_program), axis_env=[(AXIS, exchange.n)])(*given).jaxpr
        after = [var.aval for var in before.outvars]
        if [(a.shape, a.dtype) for a in body.out_avals] != [(a.shape, a.dtype) for a in after]:
            return None
        (call,) = body.eqns
        made[i] = call.replace(invars=values, outvars=before.outvars)
        sent.append((step.name, max(_bytes(aval) for aval in (*given, *after))))
    made = [equation for i, equation in enumerate(made) if i not in steps or equation.outvars]
    kinds = frozenset().union(*(equation.effects for equation in made))
    return Together(closed.replace(jaxpr=jaxpr.replace(eqns=made, effects=kinds)), exchange, sent)


def step_of(equation: Any) -> Step | None:
    """The collective of tensors that an equation is."""
    call = getattr(equation.params.get("callback"), "callback_func", None)
    step = call.function if isinstance(call, Callback) else None
    if not isinstance(step, Step) or step.body is None:
        return None
    return step if len(equation.invars) - bool(step.refusals) == len(equation.outvars) else None


def _bytes(aval: Any) -> int:
    return int(np.prod(aval.shape)) * aval.dtype.itemsize


class Offered:
    """A program of all ranks, run wherever all of them have the same: each offers what it would run, at each call.

    `word` is the number of the result that is the error word of checks on values. Where one rank's tells of an error, nobody's
    results are given out: DistBackendError in the other ranks.
    """

    def __init__(self, exchange: Exchange, sent: list[tuple[str, int]], name: str, word: int | None):
        self.exchange, self.sent, self.word = exchange, sent, word
        self._name = name
        self._forms: dict[Any, Any] = {}

    def _kinds(self, given: Sequence[Any]) -> Any:
        """What tells the forms of the program apart."""
        raise NotImplementedError

    def _form(self, kinds: Any) -> Any:
        raise NotImplementedError

    def by_all(self, given: Sequence[Any]) -> list[Any] | None:
        """The results; None where another rank has not offered the same."""
        pending = self.exchange.begin(lambda: self._offer(given), wait=True)
        if pending.error is not None:
            raise pending.error
        found: list[Any] | None = pending.value
        return found

    def _offer(self, given: Sequence[Any]) -> list[Any] | None:
        kinds = self._kinds(given)
        form = self._forms.get(kinds)
        if form is None:
            form = self._forms[kinds] = self._form(kinds)
        while True:
            same, ready = self.exchange.offer(self._name, form.digest, form.is_ready)
            if not same:
                return None
            if ready:
                break
            form.compile()
        for watch in meetings.watchers:
            for name, size in self.sent:
                watch(meetings.Sent(name, size))
        results: list[Any] = self.exchange.in_time(lambda: form.run(given), self._name)
        if self.word is not None:
            self._see_who_has_failed(np.asarray(results.pop()))
        return results

    def _see_who_has_failed(self, words: np.ndarray) -> None:
        failed = [rank for rank, word in zip(self.exchange.ranks, words, strict=True) if word]
        if failed and not words[self.exchange.me]:
            raise DistBackendError(
                f"[Rank {self.exchange.rank}]: rank {', '.join(map(str, failed))} has raised an error for its values in {self._name}, a "
                "compiled program of all ranks: no rank has taken over its results"
            )


class Joint(Offered):
    """A program of this rank (`alone`), run as `body` by all ranks in one program wherever they all have the same."""

    def __init__(
        self,
        shared: Together,
        body: Callable[..., Any],
        alone: Callable[..., Any],
        name: str,
        options: Any,
        word: int | None,
    ):
        super().__init__(shared.exchange, shared.sent, name, word)
        self.alone = raising(alone)
        self._body, self._options = body, options

    def __call__(self, *given: Any) -> Any:
        results = self.by_all([np.asarray(value) for value in given])
        return self.alone(*given) if results is None else results

    def _kinds(self, given: Sequence[Any]) -> Any:
        return tuple((value.shape, value.dtype) for value in given)

    def _form(self, kinds: Any) -> _Form:
        return _Form(self.exchange, kinds, self._body, self._name, self._options, self.word)


class Form:
    """A program of all ranks for arrays of certain shapes and dtypes, which is offered by its digest."""

    digest: bytes

    def lower(self, lowered: Any) -> None:
        """Take a lowered program, which is compiled when all ranks have it."""
        self._lowered = lowered
        self._compiled: Any = None
        self.digest = hashlib.sha256(lowered.as_text().encode()).digest()

    @property
    def is_ready(self) -> bool:
        """Whether it has been compiled: ranks that wait in a collective for one that compiles would give up."""
        return self._compiled is not None

    def compile(self) -> None:
        """Compile it, unless that was done."""
        if self._compiled is None:
            self._compiled, self._lowered = self._lowered.compile(), None


def as_row(kind: Any, spread: Any, mine: Any, value: np.ndarray) -> Any:
    """This rank's row of an array over all ranks. Arrays change sides without a copy where XLA allows it."""
    return xla_client.batched_device_put(kind, spread, [value[None]], [mine], True)


def own_row(rows: Any) -> Any:
    """This rank's row, on the device of its own programs."""
    value = np.asarray(rows.addressable_data(0))
    return devices.from_numpy(value.reshape(value.shape[1:]), devices.to_jax(devices.CPU))


class _Form(Form):
    """That of a `Joint`."""

    def __init__(
        self, exchange: Exchange, kinds: Any, body: Callable[..., Any], name: str, options: Any, word: int | None
    ):
        assert exchange.link is not None
        ranks = exchange.link.devices()
        mesh = jax.sharding.Mesh(np.array([ranks[r] for r in exchange.ranks]), (AXIS,))
        self._spread = jax.sharding.NamedSharding(mesh, _SPEC)
        self._mine = ranks[exchange.rank]
        self._kinds = [jax.core.ShapedArray((exchange.n, *shape), dtype) for shape, dtype in kinds]

        def of_rank(*values: Any) -> Any:
            results = body(*[value[0] for value in values])
            if word is not None:
                results = *results, lax.all_gather(results[word], AXIS)
            return tuple(result[None] for result in results)

        of_rank.__name__ = name
        whole = jax.jit(
            jax.shard_map(of_rank, mesh=mesh, in_specs=_SPEC, out_specs=_SPEC, check_vma=False),
            compiler_options=options,
        )
        arguments = [jax.ShapeDtypeStruct(kind.shape, kind.dtype, sharding=self._spread) for kind in self._kinds]
        self.lower(whole.lower(*arguments))

    def run(self, values: Sequence[np.ndarray]) -> list[Any]:
        """This rank's results."""
        kinds = zip(self._kinds, values, strict=True)
        return [*map(own_row, self._compiled(*[as_row(kind, self._spread, self._mine, v) for kind, v in kinds]))]
