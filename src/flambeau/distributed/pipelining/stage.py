"""One stage of a pipeline: what it computes, and what it sends to the stages before and after it."""

from __future__ import annotations

from typing import Any

from ...autograd import backward
from ...core.context.grad_mode import enable_grad, no_grad
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...ops.making.constants import empty, zeros_like
from ...processes.groups import chosen
from ...processes.objects import recv_object_list, send_object_list
from ...processes.point_to_point import recv, send

Description = list[tuple[tuple[int, ...], Any, bool]]


class PipelineStage:
    """A module that gets its input from the process before it and gives its output to the one after it.

    Shapes and dtypes travel with the first micro-batch of each step, so that `input_args` and `output_args` are taken and not
    needed. ValueError for a stage number that there is not, or for a group that is not one process for each stage.
    """

    def __init__(
        self, submodule: Module, stage_index: int, num_stages: int, device: Any, input_args: Any = None, output_args: Any = None,
        group: Any = None, dw_builder: Any = None,
    ):  # fmt: skip
        if not 0 <= stage_index < num_stages:
            raise ValueError(f"Stage index {stage_index} is out of range of {num_stages}")
        if dw_builder is not None:
            raise NotImplementedError("PipelineStage(dw_builder=): a backward pass in two halves is not there")
        self.submod, self.stage_index, self.num_stages, self.device = submodule, stage_index, num_stages, device
        self.group: Any = chosen(group)
        self.group_rank, self.group_size = self.group.rank(), self.group.size()
        if num_stages != self.group_size:
            raise ValueError(
                f"Pipeline group size {self.group_size} must be the number of stages {num_stages}: one stage in each process"
            )
        self.has_backward = True
        self.begin()

    @property
    def is_first(self) -> bool:
        """Whether it gets what `step` was given."""
        return self.stage_index == 0

    @property
    def is_last(self) -> bool:
        """Whether its output is the model's."""
        return self.stage_index == self.num_stages - 1

    def begin(self) -> None:
        """Forget the last step."""
        self._taken: Description | None = None
        self._given: Description | None = None
        self._inputs: dict[int, tuple[Tensor, ...]] = {}
        self._outputs: dict[int, tuple[Tensor, ...]] = {}

    def forward(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A micro-batch's output, sent on if there is a stage after this one."""
        if not self.is_first:
            args = self._received(number)
        with enable_grad() if self.has_backward else no_grad():
            output = self.submod(*args, **kwargs)
        outputs = output if isinstance(output, tuple) else (output,)
        if not all(isinstance(value, Tensor) for value in outputs):
            raise TypeError(
                f"[Stage {self.stage_index}] expected the output of a stage to be tensors, got {output!r:.100}"
            )
        if self.has_backward:
            self._inputs[number], self._outputs[number] = tuple(args), outputs
        if not self.is_last:
            self._send_on(outputs)
        return output

    def _received(self, number: int) -> tuple[Tensor, ...]:
        if self._taken is None:
            told: list[Any] = [None]
            recv_object_list(told, group=self.group, group_src=self.group_rank - 1)
            self._taken = told[0]
        return tuple(
            self._receive(self.group_rank - 1, shape, dtype).requires_grad_(grad and self.has_backward)
            for shape, dtype, grad in self._taken or ()
        )

    def _receive(self, source: int, shape: tuple[int, ...], dtype: Any) -> Any:
        made = empty(shape, dtype=dtype, device=self.device)
        recv(made, group=self.group, group_src=source)
        return made

    def _send_on(self, outputs: tuple[Tensor, ...]) -> None:
        said = [(tuple(v.shape), v.dtype, v.requires_grad) for v in outputs]
        if self._given is None:
            self._given = said
            send_object_list([said], group=self.group, group_dst=self.group_rank + 1)
        elif self._given != said:
            raise RuntimeError(
                f"[Stage {self.stage_index}] shape mismatch: micro-batches give {said} after {self._given}. All have to be of one size"
            )
        for value in outputs:
            send(value.detach(), group=self.group, group_dst=self.group_rank + 1)  # type: ignore[attr-defined]

    def backward(self, number: int, loss: Tensor | None) -> None:
        """The gradients of a micro-batch: from its loss, or from the stage after this one, and on to the one before it."""
        outputs, inputs = self._outputs.pop(number), self._inputs.pop(number)
        if self.is_last:
            if loss is not None:
                backward([loss])
        else:
            wanted = [value for value in outputs if value.requires_grad]
            backward(wanted, [self._receive(self.group_rank + 1, tuple(v.shape), v.dtype) for v in wanted])
        if not self.is_first:
            for value in inputs:
                if value.requires_grad:
                    grad = zeros_like(value) if value.grad is None else value.grad
                    send(grad, group=self.group, group_dst=self.group_rank - 1)

    def scale_grads(self, divisor: int) -> None:
        """Divide the gradients of the stage's parameters."""
        for parameter in self.submod.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(divisor)
