"""How a collective of tensors is run: at once, by the group's thread, or as a step of a compiled program."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ..core.array import devices
from ..core.context.callbacks import call_back
from ..core.context.grad_mode import no_grad
from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import Refusal, Untraceable
from ..core.dispatch import checks
from ..core.tensor.tensor import Tensor, wrap
from ..ops.shape.complex_parts import view_as_real
from ..runtime.ranks import here
from .exchange import Exchange, Pending
from .groups import chosen, default_group, is_member
from .patterns import Pattern
from .work import Work

Job = Callable[[Any], Any]
Body = Callable[[Any, int], Any]  # a collective within a program of so many ranks


class Step:
    """A collective as a step of a compiled program: called back by one of this rank alone, `body` in one that all ranks run.

    Where checks on values come before it, it is given their error word first: what has failed there is raised here, as it
    would be without a compiled function, and the others are told.
    """

    def __init__(self, exchange: Exchange, job: Job, name: str, body: Body | None, refusals: list[Refusal]):
        self.exchange, self.job, self.name, self.body, self.refusals = exchange, job, name, body, refusals

    def __call__(self, *given: Any) -> Any:
        if self.refusals:
            failed = checks.failure(given[0], self.refusals)
            if failed is not None:
                error, _ = failed
                self.exchange.begin(lambda: self.exchange.decline(error), wait=True)
                raise error
        values = given[1:] if self.refusals else given
        host = np.asarray(values[0]) if values else None
        pending = self.exchange.begin(lambda: self.job(host), wait=True)
        if pending.error is not None:
            raise pending.error
        return None if pending.value is None else np.asarray(pending.value)

    def in_program(self, value: Any) -> Any:
        """What the rank gets, in a program of all ranks."""
        assert self.body is not None
        return self.body(value, self.exchange.n)


# PyTorch's operators for the patterns, called by what gives new tensors
_FUNCTIONAL = {
    "all_reduce": "c10d_functional::all_reduce",
    "all_gather": "c10d_functional::all_gather_into_tensor",
    "reduce_scatter": "c10d_functional::reduce_scatter_tensor",
    "broadcast": "c10d_functional::broadcast",
    "all_to_all": "c10d_functional::all_to_all_single",
}


class _Giving(threading.local):
    """Whether collectives are called here for new tensors."""

    on: bool = False


_giving = _Giving()


@contextlib.contextmanager
def functional() -> Iterator[None]:
    """Collectives that are called here are those that give new tensors, to who counts them."""
    before, _giving.on = _giving.on, True
    try:
        yield
    finally:
        _giving.on = before


def operator_of(pattern: Pattern, operator: str = "") -> str:
    """What watchers are told of a collective that is called here now."""
    return _FUNCTIONAL.get(pattern.name, operator) if _giving.on else operator


class _Event:
    """A collective as observers see it: a call of the backend's, as `gloo:all_reduce`. What it calls itself is not shown."""

    shown_async = True  # as PyTorch has them, waited for or not

    def __init__(self, name: str, run: Callable[[], Any]):
        self.shown_as = self.__name__ = name
        self._run = run

    def __call__(self, *given: Any) -> Any:
        before, grad_state.observer = grad_state.observer, None
        try:
            return self._run()
        finally:
            grad_state.observer = before


def seen(group: Any, name: str, given: Sequence[Tensor], run: Callable[[], Any]) -> Any:
    """What `run()` gives. Profiles are told PyTorch's name for it, and the tensors that go in."""
    observer = grad_state.observer
    if observer is None or grad_state.trace is not None:
        return run()
    shown = [view_as_real(t.detach()) if t.is_complex() else t for t in given]  # as they are sent
    return observer(_Event(f"{group.name()}:{name}", run), None, shown, {})


def outside(given: Any, name: str) -> bool:
    """Whether this process is not in the group, which is said."""
    if is_member(chosen(given)):
        return False
    rank = default_group().rank()
    warnings.warn(
        f"Running {name} on global rank {rank} which does not belong to the given group.", UserWarning, stacklevel=3
    )
    return True


def said_of(array: Any, **more: Any) -> dict[str, Any]:
    """What all ranks have to agree on."""
    return {**more, "dtype": np.dtype(array.dtype).name, "shape": list(array.shape)}


def write(target: Tensor, array: Any) -> Tensor:
    """Put values into a tensor."""
    if not isinstance(array, jax.core.Tracer):
        array = devices.put(array, devices.to_jax(target.device))
    with no_grad():
        return target.copy_(wrap(array))


def run(
    exchange: Exchange,
    job: Job,
    value: Any,
    result: Any,
    put: Callable[[Any], Any],
    tensors: Sequence[Tensor],
    async_op: bool,
    name: str = "",
    body: Body | None = None,
) -> Work | None:
    """Have `job` make of this rank's values what `put` writes into the tensors. `result` is its shape and dtype.

    In a compiled function it is a step of the program. Steps keep their order.
    """
    if traced(value):
        given, refusals = (() if value is None or result is None else (value,)), []
        if grad_state.trace is not None and grad_state.trace.demands.found:
            word, refusals = grad_state.trace.demands.told()
            given = word, *given
        if result is None:
            call_back(Step(exchange, lambda _: job(None) and None, name, body, refusals), None, *given, ordered=True)
        else:
            put(call_back(Step(exchange, job, name, body, refusals), result, *given, ordered=True))
        return Work(Pending().do(lambda: None), lambda _: None, list(tensors)) if async_op else None
    host = None if value is None else np.asarray(value)
    work = Work(exchange.begin(lambda: job(host), wait=not async_op), put, list(tensors))
    if async_op:
        return work
    work.wait()
    return None


def traced(value: Any) -> bool:
    """Whether this is a step of a program that runs later. Ranks that are threads have none with collectives: they would wait in it
    for each other on the processors that the others need."""
    later = grad_state.trace is not None or isinstance(value, jax.core.Tracer)
    if later and here.rank is not None:
        raise Untraceable("collectives of ranks that are threads of one process are no part of programs")
    return later


def untraced(name: str) -> None:
    """Refuse a collective whose results Python sees: a compiled function that calls it runs uncompiled."""
    if grad_state.trace is not None:
        raise Untraceable(f"torch.distributed.{name} gives Python objects: call it outside of the compiled function")


def shaped(shape: Sequence[int], dtype: Any) -> jax.ShapeDtypeStruct:
    """A shape and a dtype, without values."""
    return jax.ShapeDtypeStruct(tuple(shape), dtype)


def together(
    group: Any, pattern: Pattern, value: Any, result: Any, put: Callable[[Any], Any], tensors: Sequence[Tensor], async_op: bool,
    option: Any = None, operator: str = "", given: Sequence[Tensor] | None = None, event: str = "", **said: Any,
) -> Work | None:  # fmt: skip
    """`run` of a pattern: all ranks agree on what is said. `operator`: see `Exchange.together`; `given` and `event`: what profiles
    show of it, if not the tensors that it writes to and the pattern's name."""
    exchange, operator = group.exchange, operator_of(pattern, operator)
    told = {**said, "dtype": np.dtype(result.dtype).name}

    def job(host: Any) -> Any:
        return exchange.together(pattern, host, told, option, operator=operator)

    def body(mine: Any, n: int) -> Any:
        return pattern.body(mine, n, option)

    made: Work | None = seen(
        group, event or pattern.name, tensors if given is None else given,
        lambda: run(exchange, job, value, result, put, tensors, async_op, pattern.name, body),
    )  # fmt: skip
    return made
