"""One stage of a pipeline: what it computes, and what it sends to the stages before and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd import backward
from ...core.autograd.halves import inputs_first
from ...core.context.grad_mode import enable_grad, no_grad
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...ops.making.constants import empty, zeros_like
from ...processes.groups import chosen
from ...processes.objects import _receive_objects, _send_objects
from ...processes.point_to_point import recv, send
from ...runtime.absent import refuse as _refuse

__all__ = ["PipelineStage"]


Description = list[tuple[tuple[int, ...], Any, bool]]


class PipelineStage:
    """A module that gets its input from the stage before it and gives its output to the one after it.

    Stage `i` lies in the group's process `i` modulo its size, or where its schedule says. Shapes and dtypes
    travel with the first micro-batch of each step, so that
    `input_args`, `output_args` and what is told of their gradients are taken and not needed. `dw_builder()` is called after a micro-batch's
    backward pass, and what it gives when the gradients of the stage's parameters are due: for modules that put these off by
    themselves. ValueError for a stage number that there is not, or for a group of more processes than stages.
    """

    def __init__(
        self, submodule: Module, stage_index: int, num_stages: int, device: Any, input_args: Any = None, output_args: Any = None,
        output_grads: Any = None, input_grads: Any = None, group: Any = None, dw_builder: Any = None, get_mesh: Any = None,
    ):  # fmt: skip
        if not 0 <= stage_index < num_stages:
            raise ValueError(f"Stage index {stage_index} is out of range of {num_stages}")
        if get_mesh is not None:
            raise NotImplementedError(
                "PipelineStage(get_mesh=): what goes between stages are plain tensors, no DTensors"
            )
        self.submod, self.stage_index, self.num_stages, self.device = submodule, stage_index, num_stages, device
        self.group: Any = chosen(group)
        self.group_rank, self.group_size = self.group.rank(), self.group.size()
        if num_stages < self.group_size:
            raise ValueError(
                f"Pipeline group size {self.group_size} cannot be larger than number of stages {num_stages}"
            )
        self.has_backward, self.dw_builder = True, dw_builder
        self.handed: dict[int, list[Any]] = {}
        self.members = [i % self.group_size for i in range(num_stages)]  # where each stage lies, in the group
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
        self._rest: dict[int, Callable[[], Any]] = {}

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
            (self._taken,) = self._get_objects(self.stage_index - 1, _tag(self.stage_index))
        return tuple(
            self._get(self.stage_index - 1, _tag(self.stage_index), shape, dtype).requires_grad_(
                grad and self.has_backward
            )
            for shape, dtype, grad in self._taken or ()
        )

    def _send_on(self, outputs: tuple[Tensor, ...]) -> None:
        said = [(tuple(v.shape), v.dtype, v.requires_grad) for v in outputs]
        tag = _tag(self.stage_index + 1)
        if self._given is None:
            self._given = said
            self._put_objects([said], self.stage_index + 1, tag)
        elif self._given != said:
            raise RuntimeError(
                f"[Stage {self.stage_index}] shape mismatch: micro-batches give {said} after {self._given}. All have to be of one size"
            )
        for value in outputs:
            self._put(value.detach(), self.stage_index + 1, tag)

    def _put(self, value: Any, stage: int, tag: int) -> None:
        member = self.members[stage]
        if member == self.group_rank:
            self.handed.setdefault(tag, []).append(value)
        else:
            send(value, group=self.group, group_dst=member, tag=tag)

    def _get(self, stage: int, tag: int, shape: tuple[int, ...], dtype: Any) -> Any:
        member = self.members[stage]
        if member == self.group_rank:
            return self.handed[tag].pop(0)
        made = empty(shape, dtype=dtype, device=self.device)
        recv(made, group=self.group, group_src=member, tag=tag)
        return made

    def _put_objects(self, objects: list[Any], stage: int, tag: int) -> None:
        member = self.members[stage]
        if member == self.group_rank:
            self.handed.setdefault(tag, []).append(objects)
        else:
            _send_objects(objects, self.group, member, tag)

    def _get_objects(self, stage: int, tag: int) -> list[Any]:
        member = self.members[stage]
        if member == self.group_rank:
            return self.handed[tag].pop(0)  # type: ignore[no-any-return]
        return _receive_objects(None, self.group, member, tag)[0]

    def backward(self, number: int, loss: Tensor | None) -> None:
        """The gradients of a micro-batch: from its loss, or from the stage after this one, and on to the one before it."""
        inputs, roots, given = self._roots(number, loss)
        if roots:
            backward(roots, given)
        self._send_back(inputs, [value.grad for value in inputs])
        if self.dw_builder is not None:
            self.dw_builder()()

    def backward_input(self, number: int, loss: Tensor | None) -> None:
        """The first half of a micro-batch's backward pass: the gradients that the stage before this one waits for."""
        if self.dw_builder is not None:
            builder, self.dw_builder = self.dw_builder, None
            try:
                self.backward(number, loss)
            finally:
                self.dw_builder = builder
            self._rest[number] = builder()
            return
        inputs, roots, given = self._roots(number, loss)
        grads, rest = inputs_first(roots, inputs, given)
        self._rest[number] = rest.run
        self._send_back(inputs, grads)

    def backward_weight(self, number: int) -> None:
        """The second half: the gradients of the stage's parameters."""
        self._rest.pop(number)()

    def _roots(self, number: int, loss: Tensor | None) -> tuple[list[Tensor], list[Tensor], list[Any] | None]:
        """The inputs that want gradients, and what these come from, with its own gradients."""
        outputs, inputs = self._outputs.pop(number), self._inputs.pop(number)
        passed = [] if self.is_first else [value for value in inputs if value.requires_grad]
        if self.is_last:
            return passed, [] if loss is None else [loss], None
        roots = [value for value in outputs if value.requires_grad]
        tag = _tag(self.stage_index, back=True)
        return passed, roots, [self._get(self.stage_index + 1, tag, tuple(v.shape), v.dtype) for v in roots]

    def _send_back(self, inputs: list[Tensor], grads: list[Any]) -> None:
        for value, grad in zip(inputs, grads, strict=True):
            made = zeros_like(value) if grad is None else grad
            self._put(made, self.stage_index - 1, _tag(self.stage_index - 1, back=True))

    def scale_grads(self, divisor: int) -> None:
        """Divide the gradients of the stage's parameters."""
        for parameter in self.submod.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(divisor)


def _tag(stage: int, back: bool = False) -> int:
    """What goes to a stage has a number of its own, and so has what comes back to it: several stages of two processes do not have to
    agree on an order. Below those of scripts (from 0 on) and of objects (-1)."""
    return -2 - 2 * stage - back


_refuse(
    globals(),
    "PipelineStage(module, index, count, device) makes a stage",
    "build_stage ",
)
