"""In which order a stage of a pipeline works on micro-batches forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.context.grad_mode import no_grad
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...utils._pytree import tree_map
from .microbatch import _pieces, merge_chunks, split_args_kwargs_into_chunks
from .stage import PipelineStage

__all__ = [
    "PipelineScheduleMulti",
    "PipelineScheduleSingle",
    "Schedule1F1B",
    "ScheduleDualPipeV",
    "ScheduleGPipe",
    "ScheduleInterleaved1F1B",
    "ScheduleInterleavedZeroBubble",
    "ScheduleLoopedBFS",
    "ScheduleZBVZeroBubble",
    "get_schedule_class",
]


class _PipelineSchedule:
    """`step` on a batch, which is cut into `n_microbatches` (along their first dimensions, where no spec says otherwise). The loss of
    a step is the mean of the micro-batches' losses, and so are the gradients (their sum without `scale_grads`)."""

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Tensor] | None, args_chunk_spec: Any,
        kwargs_chunk_spec: Any, output_merge_spec: Any, scale_grads: bool,
    ):  # fmt: skip
        if n_microbatches < 1:
            raise ValueError(f"n_microbatches must be positive, got {n_microbatches}")
        self._stages, self._n, self._loss_fn, self.scale_grads = stages, n_microbatches, loss_fn, scale_grads
        self._cuts, self._merging = (args_chunk_spec, kwargs_chunk_spec), output_merge_spec
        self._has_backward = loss_fn is not None
        handed: dict[int, list[Any]] = {}
        for stage in stages:
            stage.handed = handed

    def _order(self) -> list[tuple[str, int, int]]:
        """What is done: F, B, or B's halves I (inputs) and W (weights), with which of the process's stages, on which micro-batch. Each
        stage takes micro-batches as they are numbered, both ways, since messages of one stage come in the order in which they were
        sent."""
        raise NotImplementedError

    def step(
        self,
        *args: Any,
        target: Any = None,
        losses: list[Any] | None = None,
        return_outputs: bool = True,
        loss_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A step: the first stage's process gives the batch, the last one's the `target`, and gets the outputs (if
        `return_outputs`) and, in `losses`, the micro-batches' losses. `loss_kwargs` are cut as arguments are."""
        return self._run(args, kwargs, target, losses, loss_kwargs, return_outputs, self._has_backward)

    def eval(
        self,
        *args: Any,
        target: Any = None,
        losses: list[Any] | None = None,
        loss_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """The outputs (and losses), without a backward pass."""
        with no_grad():
            return self._run(args, kwargs, target, losses, loss_kwargs, True, False)

    def _run(
        self, args: Any, kwargs: Any, target: Any, losses: Any, loss_kwargs: Any, wanted: bool, backwards: bool
    ) -> Any:
        for stage in self._stages:
            stage.begin()
            stage.has_backward = backwards
        has_first = any(stage.is_first for stage in self._stages)
        given, named = split_args_kwargs_into_chunks(
            args if has_first else (), kwargs, self._n, *self._cuts_of(has_first)
        )
        targets = None if target is None else _pieces(target, self._n)
        told = split_args_kwargs_into_chunks((), loss_kwargs, self._n)[1]
        outputs: list[Any] = []
        found: list[Any] = []
        for what, which, number in self._order():
            stage = self._stages[which]
            if what != "F":
                if backwards:
                    _backwards(what, stage, number, found[number] if stage.is_last and found else None)
                continue
            output = stage.forward(number, given[number], named[number])
            if stage.is_last:
                outputs.append(output)
                if self._loss_fn is not None and targets is not None:
                    found.append(self._loss_fn(output, targets[number], **told[number]))
        if losses is not None:
            losses[:] = found
        if backwards and self.scale_grads:
            for stage in self._stages:
                stage.scale_grads(self._n)
        return _detached(merge_chunks(outputs, self._merging)) if outputs and wanted else None

    def _cuts_of(self, has_first: bool) -> tuple[Any, Any]:
        return (self._cuts[0] if has_first else None), self._cuts[1]


class PipelineScheduleSingle(_PipelineSchedule):
    """One stage in each process."""

    def __init__(
        self, stage: PipelineStage, n_microbatches: int, loss_fn: Callable[..., Tensor] | None = None, args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True,
    ):  # fmt: skip
        if stage.num_stages != stage.group_size:
            raise ValueError(
                f"{type(self).__name__}: {stage.num_stages} stages in {stage.group_size} processes; it wants one stage in each, and "
                "ScheduleInterleaved1F1B or ScheduleLoopedBFS take several"
            )
        super().__init__(
            [stage], n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads
        )
        self._stage = stage


class ScheduleGPipe(PipelineScheduleSingle):
    """All micro-batches forwards, then all backwards (GPipe: Huang et al., 2019)."""

    def _order(self) -> list[tuple[str, int, int]]:
        return [("F", 0, i) for i in range(self._n)] + [("B", 0, i) for i in range(self._n)]


class Schedule1F1B(PipelineScheduleSingle):
    """One forwards, one backwards, once the pipeline is full, so that a stage holds no more micro-batches than there are stages
    after it (PipeDream-Flush: Narayanan et al., 2021)."""

    def _order(self) -> list[tuple[str, int, int]]:
        ahead = self._stage.num_stages - self._stage.stage_index
        forwards = [("F", 0, i) for i in range(self._n)]
        return _in_turns(forwards, [("B", 0, i) for i in range(self._n)], ahead)


def _backwards(what: str, stage: PipelineStage, number: int, loss: Any) -> None:
    if what == "B":
        stage.backward(number, loss)
    elif what == "I":
        stage.backward_input(number, loss)
    else:
        stage.backward_weight(number)


class PipelineScheduleMulti(_PipelineSchedule):
    """Several stages in each process: of P processes the one numbered r has the stages r, r + P, r + 2 P and so on, which are given as a
    list in this order."""

    def _members(self, first: PipelineStage) -> list[int]:
        """In which process of the group each stage lies."""
        return [i % first.group_size for i in range(first.num_stages)]

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Tensor] | None = None,
        args_chunk_spec: Any = None, kwargs_chunk_spec: Any = None, output_merge_spec: Any = None,
        use_full_backward: bool | None = None, scale_grads: bool = True, backward_requires_autograd: bool = True,
    ):  # fmt: skip
        if not isinstance(stages, (list, tuple)):
            raise TypeError(f"{type(self).__name__}: a list of stages is wanted, got {type(stages).__name__}")
        first = stages[0]
        members = self._members(first)
        own = [i for i, member in enumerate(members) if member == first.group_rank]
        if [stage.stage_index for stage in stages] != own or first.num_stages % first.group_size:
            raise ValueError(
                f"{type(self).__name__}: process {first.group_rank} of {first.group_size} has the stages {own} of {first.num_stages}, as many "
                f"as the others, and not {[stage.stage_index for stage in stages]}"
            )
        super().__init__(
            list(stages), n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads
        )
        self.pp_group_size, self.rank, self.n_local_stages = first.group_size, first.group_rank, len(stages)
        for stage in stages:
            stage.members = members


class ScheduleInterleaved1F1B(PipelineScheduleMulti):
    """One forwards, one backwards, over several stages in each process: a round of micro-batches goes through a process's first stage,
    then its next, so that the pipeline is full sooner (Narayanan et al., 2021). There are as many rounds as the processes are contained in
    `n_microbatches`, at least one; ValueError if these can't be cut into so many."""

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Tensor] | None = None,
        args_chunk_spec: Any = None, kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True,
        backward_requires_autograd: bool = True, defer_pp_recv: bool = False,
    ):  # fmt: skip
        super().__init__(
            stages,
            n_microbatches,
            loss_fn,
            args_chunk_spec,
            kwargs_chunk_spec,
            output_merge_spec,
            scale_grads=scale_grads,
        )
        self.number_of_rounds = max(1, n_microbatches // self.pp_group_size)
        self.microbatches_per_round = n_microbatches // self.number_of_rounds
        if n_microbatches % self.number_of_rounds:
            raise ValueError(
                "Interleaved 1F1B requires the number of microbatches to be a multiple of the number of rounds "
                f"({self.number_of_rounds}), but got {n_microbatches}."
            )

    def _order(self) -> list[tuple[str, int, int]]:
        return _in_turns(*self._both_ways(), self._before + 2 * (self.pp_group_size - 1 - self.rank) + 1)

    @property
    def _before(self) -> int:
        """How many micro-batches the last process works on before the first one comes to its last stage."""
        return (self.n_local_stages - 1) * self.microbatches_per_round

    def _both_ways(self) -> tuple[list[Any], list[Any]]:
        stages, each = range(self.n_local_stages), self.microbatches_per_round
        turns = [(i, turn) for turn in range(self.number_of_rounds) for i in stages]
        forwards = [("F", i, turn * each + k) for i, turn in turns for k in range(each)]
        return forwards, [("B", self.n_local_stages - 1 - i, number) for _, i, number in forwards]


class ScheduleInterleavedZeroBubble(ScheduleInterleaved1F1B):
    """The same over backward passes in two halves: gradients of inputs are sent on at once, and those of parameters are found while a
    process would wait, by process r as many micro-batches later as its number says (ZB-H1: Qi et al., 2023)."""

    def _order(self) -> list[tuple[str, int, int]]:
        forwards, backwards = self._both_ways()
        halves = [("I", i, number) for _, i, number in backwards]
        order: list[Any] = []
        waiting: list[Any] = []
        for one in _in_turns(forwards, halves, self._before + self.pp_group_size - self.rank):
            order.append(one)
            if one[0] == "I":
                waiting.append(("W", *one[1:]))
                if len(waiting) > self.rank:
                    order.append(waiting.pop(0))
        return order + waiting


class ScheduleLoopedBFS(PipelineScheduleMulti):
    """All micro-batches through a process's first stage, then all through its next, and backwards likewise (breadth-first: Lamy-Poirier,
    2022)."""

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Tensor] | None = None,
        output_merge_spec: Any = None, scale_grads: bool = True, backward_requires_autograd: bool = True,
        defer_pp_recv: bool = False,
    ):  # fmt: skip
        super().__init__(stages, n_microbatches, loss_fn, output_merge_spec=output_merge_spec, scale_grads=scale_grads)

    def _order(self) -> list[tuple[str, int, int]]:
        stages, numbers = range(self.n_local_stages), range(self._n)
        return [("F", i, k) for i in stages for k in numbers] + [("B", i, k) for i in reversed(stages) for k in numbers]


class _VSchedule(PipelineScheduleMulti):
    """Two stages in each process, laid out as a V: process r of P has the stages r and 2 P - 1 - r, so that the first process has the
    last stage, too."""

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Tensor] | None = None,
        args_chunk_spec: Any = None, kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True,
        backward_requires_autograd: bool = True, defer_pp_recv: bool = False,
    ):  # fmt: skip
        if len(stages) != 2:
            raise ValueError(message("two_stages", count=len(stages)))
        super().__init__(
            stages,
            n_microbatches,
            loss_fn,
            args_chunk_spec,
            kwargs_chunk_spec,
            output_merge_spec,
            scale_grads=scale_grads,
        )

    def _members(self, first: PipelineStage) -> list[int]:
        size = first.group_size
        if first.num_stages % size:
            raise ValueError(message("uneven_v", stages=first.num_stages, size=size))
        return [min(i, 2 * size - 1 - i) for i in range(first.num_stages)]


class ScheduleZBVZeroBubble(_VSchedule):
    """A V of stages, and backward passes in two halves: no process waits in between where forward passes and both halves take equally
    long (ZB-V: Qi et al., 2023)."""

    def _order(self) -> list[tuple[str, int, int]]:
        size, rank = self.pp_group_size, self.rank
        takes = _Numbered(max(self._n, 2 * size - 1))
        for _ in range(2 * (size - rank) - 1):
            takes("F", 0)
        for _ in range(rank):
            takes("F", 1).takes("F", 0)
        for _ in range(size - rank):
            takes("F", 1).takes("I", 1).takes("W", 1)
        while takes.left("F", 0) or takes.left("F", 1):
            takes("F", 0).takes("I", 0).takes("W", 0)
            takes("F", 1).takes("I", 1).takes("W", 1)
        for _ in range(rank):
            takes("I", 0).takes("I", 1)
        for _ in range(size - rank):
            takes("I", 0).takes("W", 0)
        while takes.left("W", 1):
            takes("W", 1)
        while takes.left("W", 0):
            takes("W", 0)
        return [one for one in takes.order if one[2] < self._n]


class ScheduleDualPipeV(_VSchedule):
    """A V of stages whose forward passes go by turns with whole backward passes, which are cut into halves where the pipeline fills and
    drains (DualPipeV: DeepSeek, 2025). ValueError for fewer micro-batches than stages."""

    def __init__(self, stages: list[PipelineStage], n_microbatches: int, *args: Any, **kwargs: Any):
        if len(stages) == 2 and n_microbatches < stages[0].num_stages:
            raise ValueError(message("few_microbatches", given=n_microbatches, stages=stages[0].num_stages))
        super().__init__(stages, n_microbatches, *args, **kwargs)

    def _order(self) -> list[tuple[str, int, int]]:
        size, rank = self.pp_group_size, self.rank
        after, takes = size - rank - 1, _Numbered(self._n)
        for _ in range(2 * after):
            takes("F", 0)
        for _ in range(rank + 1):
            takes("F", 0).takes("F", 1)
        for _ in range(after):
            takes("I", 1).takes("W", 1).takes("F", 1)
        for _ in range(self._n - 2 * size + rank + 1):
            takes("F", 0).takes("B", 1).takes("F", 1).takes("B", 0)
        for _ in range(after):
            takes("B", 1).takes("F", 1).takes("B", 0)
        late: list[int] = []
        for i in range(2 * rank + 2):  # the first half whole
            halved = i > rank
            takes("I" if halved else "B", 1 - i % 2)
            late += [1 - i % 2] * halved
        for _ in range(after):
            takes("W", late.pop(0)).takes("I", 0)
            late.append(0)
        for which in late:
            takes("W", which)
        return takes.order


class _Numbered:
    """An order in the making, in which each stage takes its micro-batches one after the other; none when all were taken."""

    def __init__(self, n: int):
        self.n, self.order = n, list[tuple[str, int, int]]()
        self._next: dict[tuple[str, int], int] = {}

    def left(self, what: str, which: int) -> bool:
        return self._next.get((what, which), 0) < self.n

    def takes(self, what: str, which: int) -> _Numbered:
        if not self.left(what, which):
            return self
        number = self._next.get((what, which), 0)
        for done in {"B": "IWB", "F": "F", "I": "IB", "W": "W"}[what]:
            self._next[done, which] = number + 1
        self.order.append((what, which, number))
        return self

    __call__ = takes


_NAMED = {
    "1F1B": Schedule1F1B, "Interleaved1F1B": ScheduleInterleaved1F1B, "GPipe": ScheduleGPipe, "LoopedBFS": ScheduleLoopedBFS,
    "InterleavedZeroBubble": ScheduleInterleavedZeroBubble, "PipelineScheduleSingle": PipelineScheduleSingle,
    "PipelineScheduleMulti": PipelineScheduleMulti, "ZBVZeroBubble": ScheduleZBVZeroBubble, "DualPipeV": ScheduleDualPipeV,
}  # fmt: skip


def get_schedule_class(schedule_name: str) -> Any:
    """The schedule of a name, in small or large letters. ValueError for another name."""
    for name, found in _NAMED.items():
        if name.lower() == schedule_name.lower():
            return found
    raise ValueError(f"Unknown schedule name '{schedule_name}'. The valid options are {list(_NAMED)}")


def _in_turns(forwards: list[Any], backwards: list[Any], ahead: int) -> list[Any]:
    """So many forwards, then one backwards and one forwards by turns."""
    order = forwards[:ahead]
    for i, one in enumerate(backwards):
        order += [one, *forwards[ahead + i : ahead + i + 1]]
    return order


def _detached(value: Any) -> Any:
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, value)
