"""PowerSGD (Vogels, Karimireddy and Jaggi, 2019): what is sent of a gradient is a product of two thin matrices.

Each process multiplies its gradient M (n x m) by the same Q (m x r); the sum of these P over the processes is made orthonormal, M^T P is
averaged, and P times that is the gradient that all go on with. What it lacks of M is added to the next one.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....core.context.generator import Generator
from ....core.context.grad_mode import no_grad
from ....core.tensor.tensor import Tensor
from ....ops.linalg.matrices import qr
from ....ops.making.constants import zeros
from ....ops.random.factories import randn
from ....processes.buckets import GradBucket, averaged, flattened, parts
from ....processes.collectives import all_reduce
from ....processes.groups import chosen
from ....processes.running import untraced
from ....processes.work import Future

__all__ = ["PowerSGDState", "batched_powerSGD_hook", "powerSGD_hook"]


logger = logging.getLogger(__name__)


class PowerSGDState:
    """How much is left out, and what is kept from step to step.

    Gradients are averaged as they are before step `start_powerSGD_iter`, and matrices for which the two factors are not less than
    1 / `min_compression_rate` of the whole are ever after. ValueError for a start before step 2 where something is kept.
    """

    def __init__(
        self,
        process_group: Any,
        matrix_approximation_rank: int = 1,
        start_powerSGD_iter: int = 1000,
        min_compression_rate: float = 2,
        use_error_feedback: bool = True,
        warm_start: bool = True,
        orthogonalization_epsilon: float = 0,
        random_seed: int = 0,
        compression_stats_logging_frequency: int = 10_000,
        batch_tensors_with_same_shape: bool = False,
    ):
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                f"start_powerSGD_iter is {start_powerSGD_iter}: with use_error_feedback or warm_start it has to be 2 or more"
            )
        self.process_group = process_group
        self.matrix_approximation_rank = matrix_approximation_rank
        self.start_powerSGD_iter = start_powerSGD_iter
        self.min_compression_rate = min_compression_rate
        self.use_error_feedback = use_error_feedback
        self.warm_start = warm_start
        self.orthogonalization_epsilon = orthogonalization_epsilon
        self.rng = np.random.RandomState(random_seed)
        self.error_dict: dict[int, Tensor] = {}
        self.p_memory_dict: dict[int, Any] = {}
        self.q_memory_dict: dict[int, Any] = {}
        self.iter = 0
        self.total_numel_before_compression = 0
        self.total_numel_after_compression = 0
        self.compression_stats_logging_frequency = max(1, compression_stats_logging_frequency)
        self.next_stats_report = 0
        self.batch_tensors_with_same_shape = batch_tensors_with_same_shape

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "process_group"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.process_group = None
        vars(self).update(state)

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Count the step, with its last bucket."""
        if bucket.is_last():
            self.iter += 1
            if self.iter == self.start_powerSGD_iter:
                logger.info("PowerSGD begins after %s steps", self.iter)

    def compression_stats(self) -> tuple[float, int, int]:
        """How many times more numbers there were than were sent; how many there were; how many were sent."""
        before, after = self.total_numel_before_compression, self.total_numel_after_compression
        return before / after if after > 0 else 0, before, after

    def rank_of(self, matrix: Tensor) -> int:
        """How many columns a matrix's factors have."""
        return min(*matrix.shape, self.matrix_approximation_rank)

    def pays(self, matrix: Tensor) -> bool:
        """Whether two factors of a matrix are few enough numbers."""
        rows, columns = matrix.shape
        return bool((rows + columns) * self.rank_of(matrix) * self.min_compression_rate < rows * columns)

    def count(self, before: int, after: int) -> None:
        """Take down how many numbers were sent."""
        self.total_numel_before_compression += before
        self.total_numel_after_compression += after

    def report(self, bucket: GradBucket) -> None:
        """Tell the log, every so many steps."""
        if bucket.is_last() and self.iter >= self.next_stats_report:
            logger.info("PowerSGD after %s steps: %s", self.iter, self.compression_stats())
            self.next_stats_report = self.iter + self.compression_stats_logging_frequency

    def drawn(self, kinds: Sequence[tuple[int, int]], like: Tensor) -> list[Tensor]:
        """New factors of these shapes, the same in all processes: their seed is drawn from the common stream."""
        generator = Generator().manual_seed(int(self.rng.randint(1_000_000_000)))
        made: list[Tensor] = []
        for kind, equal in itertools.groupby(kinds):
            count = len(list(equal))
            together = count if self.batch_tensors_with_same_shape else 1
            for _ in range(0, count, together):
                made += list(randn(together, *kind, generator=generator, dtype=like.dtype))
        return made

    def with_error(self, number: int, flat: Tensor) -> Tensor:
        """The gradients, and what was left out of the last ones."""
        if not self.use_error_feedback:
            return flat
        error = self.error_dict.get(number)
        return flat if error is None else flat + error


def orthonormal(matrix: Tensor, epsilon: float) -> Tensor:
    """A matrix of orthonormal columns that span the same; with `epsilon` in the place of a column that is 0."""
    if not epsilon:
        wide = matrix.float() if matrix.element_size() < 4 else matrix  # type: ignore[attr-defined]
        return qr(wide)[0].to(matrix.dtype)  # type: ignore[no-any-return]
    columns: list[Tensor] = []
    for column in matrix.unbind(1):  # type: ignore[attr-defined]
        for before in columns:
            column = column - (before * column).sum() * before
        columns.append(column / (column.norm() + epsilon))
    made: Tensor = zeros(matrix.shape, dtype=matrix.dtype)
    for i, column in enumerate(columns):
        made[:, i] = column
    return made


def _reduced(tensors: Sequence[Tensor], group: Any) -> list[Tensor]:
    """The sums over the processes of several tensors, by one collective."""
    if not tensors:
        return []
    flat = flattened(tensors)
    all_reduce(flat, group=group)
    return parts(flat, list(tensors))


def _product(state: PowerSGDState, matrices: Sequence[Tensor], qs: list[Tensor], group: Any) -> tuple[Any, Any]:
    """The factors of the mean of all processes' matrices."""
    epsilon = state.orthogonalization_epsilon
    qs = [orthonormal(q, epsilon) for q in qs]
    ps = _reduced([m @ q for m, q in zip(matrices, qs, strict=True)], group)
    ps = [orthonormal(p, epsilon) for p in ps]
    qs = _reduced([m.t() @ p for m, p in zip(matrices, ps, strict=True)], group)  # type: ignore[attr-defined]
    return ps, [q / group.size() for q in qs]


class _Whole:
    """A bucket's work, which is done when it is waited for: all processes wait for their buckets in the same order."""

    def __init__(self, job: Any):
        self._job, self._made = job, None

    def wait(self) -> bool:
        if self._made is None:
            with no_grad():
                self._made = self._job()
        return True

    def is_completed(self) -> bool:
        return self._made is not None

    def result(self) -> list[Any]:
        self.wait()
        return [self._made]


def _begun(state: PowerSGDState, bucket: GradBucket, job: Callable[[PowerSGDState, GradBucket], Tensor]) -> Future:
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return averaged(bucket.buffer(), chosen(state.process_group))
    work = _Whole(lambda: job(state, bucket))
    return Future(work, lambda: work.result()[0])


def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future:
    """The mean of all processes' gradients, of which matrices that are large enough were sent as two factors."""
    untraced("powerSGD_hook")
    return _begun(state, bucket, _by_layers)


def _by_layers(state: PowerSGDState, bucket: GradBucket) -> Tensor:
    group, number = chosen(state.process_group), bucket.index()
    flat = state.with_error(number, bucket.buffer())
    tensors = parts(flat, bucket.parameters())
    wide = [t.reshape(t.shape[0] if t.ndim else 1, -1) for t in tensors]  # type: ignore[attr-defined]
    small = [i for i, m in enumerate(wide) if not state.pays(m)]
    shapes = list(dict.fromkeys(m.shape for m in wide))
    large = sorted((i for i in range(len(wide)) if i not in small), key=lambda i: shapes.index(wide[i].shape))
    matrices = [wide[i] for i in large]
    kinds = [(m.shape[1], state.rank_of(m)) for m in matrices]
    for i in small:
        state.count(tensors[i].numel(), tensors[i].numel())
    for m in matrices:
        state.count(m.numel(), sum(m.shape) * state.rank_of(m))
    state.report(bucket)
    held = state.q_memory_dict.get(number) if state.warm_start else None
    qs = state.drawn(kinds, flat) if held is None else shaped(held, kinds)
    made = dict(zip(small, (t / group.size() for t in _reduced([tensors[i] for i in small], group)), strict=True))
    ps, qs = _product(state, matrices, qs, group)
    if state.warm_start and matrices:
        state.p_memory_dict[number], state.q_memory_dict[number] = flattened(ps), flattened(qs)
    made |= {i: p @ q.t() for i, p, q in zip(large, ps, qs, strict=True)}
    result = flattened([made[i] for i in range(len(tensors))])
    if state.use_error_feedback:
        state.error_dict[number] = flat - result
    state.maybe_increase_iter(bucket)
    return result


def shaped(flat: Tensor, kinds: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Matrices that lie one after the other."""
    pieces = flat.split([rows * columns for rows, columns in kinds])  # type: ignore[attr-defined]
    return [piece.view(kind) for piece, kind in zip(pieces, kinds, strict=True)]


def batched_powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future:
    """The mean of all processes' gradients, sent as two factors of one square matrix of all of them."""
    untraced("batched_powerSGD_hook")
    return _begun(state, bucket, _by_square)


def _by_square(state: PowerSGDState, bucket: GradBucket) -> Tensor:
    group, number, flat = chosen(state.process_group), bucket.index(), bucket.buffer()
    length, side = flat.numel(), math.ceil(math.sqrt(flat.numel()))
    padded: Tensor = zeros(side * side, dtype=flat.dtype)
    padded[:length] = flat
    padded = state.with_error(number, padded)
    matrix = padded.view(side, side)  # type: ignore[attr-defined]
    rank = min(side, state.matrix_approximation_rank)
    q = state.q_memory_dict.get(number) if state.warm_start else None
    ps, qs = _product(state, [matrix], [state.drawn([(side, rank)], matrix)[0] if q is None else q], group)
    if state.warm_start:
        state.p_memory_dict[number], state.q_memory_dict[number] = ps[0], qs[0]
    result: Any = (ps[0] @ qs[0].t()).reshape(-1)
    if state.use_error_feedback:
        state.error_dict[number] = padded - result
    state.maybe_increase_iter(bucket)
    return result[:length]  # type: ignore[no-any-return]
