"""In which order a stage of a pipeline works on micro-batches forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.context.grad_mode import no_grad
from ...core.tensor.tensor import Tensor
from ...ops.shape.joining import cat
from ...ops.shape.splitting import tensor_split
from .stage import PipelineStage


class _Schedule:
    """`step` on a batch, which is cut into `n_microbatches` along its first dimension. The loss of a step is the mean of the
    micro-batches' losses, and so are the gradients (their sum without `scale_grads`)."""

    def __init__(
        self, stage: PipelineStage, n_microbatches: int, loss_fn: Callable[..., Tensor] | None = None, args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True,
    ):  # fmt: skip
        if args_chunk_spec is not None or kwargs_chunk_spec is not None or output_merge_spec is not None:
            raise NotImplementedError(
                f"{type(self).__name__}: batches are cut and put together along the first dimension; leave args_chunk_spec, "
                "kwargs_chunk_spec and output_merge_spec out"
            )
        if n_microbatches < 1:
            raise ValueError(f"n_microbatches must be positive, got {n_microbatches}")
        self._stage, self._n, self._loss_fn, self.scale_grads = stage, n_microbatches, loss_fn, scale_grads
        self._has_backward = loss_fn is not None

    def _order(self) -> list[tuple[str, int]]:
        raise NotImplementedError

    def step(
        self,
        *args: Any,
        target: Any = None,
        losses: list[Any] | None = None,
        return_outputs: bool = True,
        **kwargs: Any,
    ) -> Any:
        """A step: the first stage's process gives the batch, the last one's the `target`, and gets the outputs (if
        `return_outputs`) and, in `losses`, the micro-batches' losses."""
        return self._run(args, kwargs, target, losses, return_outputs, self._has_backward)

    def eval(self, *args: Any, target: Any = None, losses: list[Any] | None = None, **kwargs: Any) -> Any:
        """The outputs (and losses), without a backward pass."""
        with no_grad():
            return self._run(args, kwargs, target, losses, True, False)

    def _run(self, args: Any, kwargs: Any, target: Any, losses: Any, wanted: bool, backwards: bool) -> Any:
        stage, n = self._stage, self._n
        stage.begin()
        stage.has_backward = backwards
        batches = [_pieces(value, n) for value in args] if stage.is_first else []
        named = {name: _pieces(value, n) for name, value in kwargs.items()}
        targets = None if target is None else _pieces(target, n)
        outputs: list[Any] = []
        found: list[Any] = []
        for what, number in self._order():
            if what == "B":
                if backwards:
                    stage.backward(number, found[number] if stage.is_last and found else None)
                continue
            own = {name: pieces[number] for name, pieces in named.items()}
            output = stage.forward(number, tuple(pieces[number] for pieces in batches), own)
            if stage.is_last:
                outputs.append(output)
                if self._loss_fn is not None and targets is not None:
                    found.append(self._loss_fn(output, targets[number]))
        if losses is not None:
            losses[:] = found
        if backwards and self.scale_grads:
            stage.scale_grads(n)
        return _merged(outputs) if stage.is_last and wanted else None


class ScheduleGPipe(_Schedule):
    """All micro-batches forwards, then all backwards (GPipe: Huang et al., 2019)."""

    def _order(self) -> list[tuple[str, int]]:
        return [("F", i) for i in range(self._n)] + [("B", i) for i in range(self._n)]


class Schedule1F1B(_Schedule):
    """One forwards, one backwards, once the pipeline is full, so that a stage holds no more micro-batches than there are stages
    after it (PipeDream-Flush: Narayanan et al., 2021)."""

    def _order(self) -> list[tuple[str, int]]:
        ahead = min(self._n, self._stage.num_stages - self._stage.stage_index)
        order = [("F", i) for i in range(ahead)]
        for i in range(self._n):
            order.append(("B", i))
            if ahead + i < self._n:
                order.append(("F", ahead + i))
        return order


def _pieces(value: Any, n: int) -> list[Any]:
    """A tensor in n parts along its first dimension; what is no tensor, n times."""
    if not isinstance(value, Tensor):
        return [value] * n
    if not value.ndim or value.shape[0] < n:
        raise RuntimeError(
            f"a batch of shape {list(value.shape)} can't be cut into {n} micro-batches along its first dimension"
        )
    return list(tensor_split(value, n))


def _merged(outputs: list[Any]) -> Any:
    if isinstance(outputs[0], tuple):
        return tuple(cat(column).detach() for column in zip(*outputs, strict=True))
    return cat(outputs).detach()
