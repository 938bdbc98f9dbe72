"""Averages of gradients over the ranks, in buckets, begun while the backward pass still runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.context.grad_mode import no_grad
from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import Untraceable
from ..core.tensor.tensor import Tensor, from_host
from ..ops.making.constants import zeros_like
from ..ops.shape.joining import cat
from .collectives import all_reduce
from .errors import DistBackendError
from .groups import ReduceOp
from .running import untraced
from .work import Future

_FIRST = 1024 * 1024  # the bucket that is ready first is smaller, so that its average begins early


class GradBucket:
    """Gradients of several parameters in one flat tensor: what a communication hook is given."""

    def __init__(self, index: int, last: bool, flat: Tensor, parameters: list[Tensor]):
        self._index, self._last, self._flat, self._parameters = index, last, flat, parameters

    def index(self) -> int:
        """Its number, in the order in which buckets are averaged."""
        return self._index

    def buffer(self) -> Tensor:
        """All of the gradients, flat."""
        return self._flat

    def set_buffer(self, buffer: Tensor) -> None:
        """Take another tensor in place of it."""
        self._flat = buffer

    def gradients(self) -> list[Tensor]:
        """The gradients, as views of it."""
        return parts(self._flat, self._parameters)

    def parameters(self) -> list[Tensor]:
        """The parameters."""
        return self._parameters

    def is_last(self) -> bool:
        """Whether no other comes after it."""
        return self._last


def parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of a flat tensor in the shapes of others. A sparse one stands for one gradient, as it is."""
    if flat.is_sparse:
        return [flat]
    pieces = flat.split([tensor.numel() for tensor in like])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, like, strict=True)]


def flattened(tensors: Sequence[Tensor]) -> Tensor:
    """One flat tensor of the values of all; a sparse one comes alone, and stays as it is."""
    with no_grad():
        if tensors[0].is_sparse:
            return tensors[0].detach().clone()
        return cat([tensor.detach().reshape(-1) for tensor in tensors])


def by_dtype(tensors: Sequence[Tensor], cap: int) -> list[list[Tensor]]:
    """In order, in lists of one dtype each and of some `cap` bytes."""
    made: list[list[Tensor]] = []
    open_ones: dict[Any, tuple[list[Tensor], int]] = {}
    for tensor in tensors:
        held, size = open_ones.get(tensor.dtype, (None, 0))
        nbytes = tensor.numel() * tensor.element_size()
        if held is None or size + nbytes > cap:
            held, size = [], 0
            made.append(held)
        held.append(tensor)
        open_ones[tensor.dtype] = (held, size + nbytes)
    return made


class Averaging:
    """Hooks on parameters that average what backward passes leave in `.grad`, as long as `active()`."""

    def __init__(
        self, names: list[str], parameters: list[Tensor], group: Any, cap: int, unused: bool, active: Callable[[], bool],
        sparse: Sequence[Tensor] = (),
    ):  # fmt: skip
        self.group = group
        self.unused = unused
        self.active = active
        self.names: dict[int, str] = {id(p): name for name, p in zip(names, parameters, strict=True)}
        self.sparse: set[int] = {id(p) for p in sparse}  # whose gradients are sparse tensors
        backwards = [p for p in reversed(parameters) if id(p) not in self.sparse]  # gradients come in about this order
        first = by_dtype(backwards, min(_FIRST, cap))[:1]
        rest = [p for p in backwards if not any(p is q for bucket in first for q in bucket)]
        alone = [[p] for p in reversed(parameters) if id(p) in self.sparse]
        self.buckets: list[list[Tensor]] = first + by_dtype(rest, cap) + alone
        self.place: dict[int, int] = {id(p): i for i, bucket in enumerate(self.buckets) for p in bucket}
        self.hook: Callable[[GradBucket], Any] | None = None
        self.unfinished: list[str] = []
        self.divisor: float = group.size()
        self._ready: set[int] = set()
        self._kept: set[int] = set()  # which have got gradients in passes that were not averaged
        self._begun: list[tuple[GradBucket, Any]] = []
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._arrived)

    def check(self) -> None:
        """RuntimeError if the last backward pass has not come to all parameters. One that has failed on its way is forgotten."""
        if grad_state.run is None:
            self._ready, self._begun = set(), []
        if grad_state.trace is not None:
            grad_state.trace.guard(
                self._settings, "DistributedDataParallel was told of a hook, or a backward pass was not whole"
            )
        if self.unfinished:
            names = self.unfinished
            if grad_state.trace is None:  # else the function runs once more, uncompiled
                self.unfinished = []
            start = "Expected to have finished reduction in the prior iteration before starting a new one."
            cause = "This error indicates that your module has parameters that were not used in producing loss."
            way = "You can enable unused parameter detection by passing the keyword argument `find_unused_parameters=True` to"
            raise RuntimeError(
                f"{start} {cause} {way} `torch.nn.parallel.DistributedDataParallel`, and by \nmaking sure all `forward` function "
                f"outputs participate in calculating loss.\nParameters which did not receive grad for rank "
                f"{self.group.exchange.rank}: {', '.join(names)}"
            )

    def _settings(self) -> Any:
        return self.hook, self.divisor, self.unused, bool(self.unfinished)

    def _arrived(self, parameter: Tensor) -> None:
        if not self.active():
            if self.unused:
                self._note_kept(id(parameter))
            return
        if not self._ready:
            grad_state.run.callbacks.append(self._end)
        self._ready.add(id(parameter))
        if not self.unused:  # else all ranks first say which are used
            self._begin()

    def _note_kept(self, key: int) -> None:
        if grad_state.trace is not None:
            untraced("find_unused_parameters")
        self._kept.add(key)

    def _begin(self) -> None:
        """Begin the next buckets, in their order: all ranks have to have the same one."""
        while len(self._begun) < len(self.buckets):
            bucket = self.buckets[len(self._begun)]
            if not all(id(p) in self._ready for p in bucket):
                return
            self._average(bucket)

    def _average(self, bucket: list[Tensor], absent: bool = False) -> None:
        gradients = [self._nothing(p) if p.grad is None or absent else p.grad for p in bucket]
        made = GradBucket(len(self._begun), len(self._begun) + 1 == len(self.buckets), flattened(gradients), bucket)
        if self.hook is not None:
            begun = self.hook(made)
            if not callable(getattr(begun, "wait", None)):
                raise RuntimeError(
                    "DDP communication hook's callback must return a torch.futures.Future object, but got "
                    f"{type(begun).__module__}.{type(begun).__qualname__}"
                )
            self._begun.append((made, begun))
            return
        with no_grad():
            flat = made.buffer().div_(self.divisor)
        self._begun.append((made, all_reduce(flat, group=self.group, async_op=True)))

    def _nothing(self, parameter: Tensor) -> Tensor:
        if id(parameter) not in self.sparse:
            return zeros_like(parameter)
        with no_grad():
            return parameter.detach().new_zeros(parameter.shape).to_sparse(1)

    def _end(self) -> None:
        missing = [p for bucket in self.buckets for p in bucket if id(p) not in self._ready]
        used: Any = None
        try:
            if missing and not self.unused:
                if grad_state.trace is not None:  # each pass has to leave them, for the next one to refuse
                    raise Untraceable("its backward pass does not come to all parameters of a DistributedDataParallel")
                self.unfinished = [self.names[id(p)] for p in missing]
            if self.unused:
                used = self._used()
                self._ready = set(self.place)
                self._begin()
            for bucket, work in self._begun:
                self._finish(bucket, work, used)
        finally:
            self._ready, self._begun = set(), []

    def answer(self) -> None:
        """Do what the others' backward pass does together, without gradients of one's own."""
        if self.unused:
            self._used()
        try:
            for bucket in self.buckets:
                self._average(bucket, absent=True)
            for _, work in self._begun:
                work.wait()
        finally:
            self._ready, self._begun = set(), []

    def _used(self) -> Any:
        """Which parameters any rank has a gradient for; None where all are known to have one."""
        untraced("find_unused_parameters")
        kept = {id(p) for bucket in self.buckets for p in bucket if id(p) in self._kept and p.grad is not None}
        known, self._kept = self._ready | kept, set()
        found = from_host(np.array([key in known for key in self.place], np.uint8))
        all_reduce(found, ReduceOp.MAX, self.group)
        return dict(zip(self.place, found.tolist(), strict=True))

    def _finish(self, bucket: GradBucket, work: Any, used: Any) -> None:
        flat = bucket.buffer()
        try:
            made = work.wait()
        except DistBackendError as error:
            names = [self.names[id(p)] for p in bucket.parameters()]
            error.add_note(f"while the gradients of {names[0]} to {names[-1]} were averaged")
            raise
        if self.hook is not None:
            flat = made[0] if isinstance(made, (list, tuple)) else made
        with no_grad():
            for parameter, value in zip(bucket.parameters(), parts(flat, bucket.parameters()), strict=True):
                if isinstance(used, dict) and not used[id(parameter)]:
                    continue
                if parameter.grad is None:
                    parameter.grad = value.clone()
                else:
                    parameter.grad.copy_(value)


def averaged(flat: Tensor, group: Any) -> Future:
    """The average over the ranks, in place, as a Future: what a communication hook gives."""
    with no_grad():
        flat.div_(group.size())
    work = all_reduce(flat, group=group, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])
