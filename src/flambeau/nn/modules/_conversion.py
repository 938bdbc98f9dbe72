"""Moving and converting the tensors of a module and its descendants."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from ...core.array import devices
from ...core.array.dtypes import dtype
from ...core.array.formats import channels_last, channels_last_3d
from ...core.array.meta import NoData
from ...core.context.grad_mode import no_grad
from ...core.context.overrides import dispatching
from ...core.context.tracing import structure
from ...core.tensor.storage import laid_beside
from ...core.tensor.swapping import swap_tensors
from ...core.tensor.tensor import Tensor, blank, wrap
from ...ops.making.casting import parse_to
from ..parameter import Parameter, is_lazy

_Convert = Callable[[Tensor], Tensor]


def _named(method: str, fn: _Convert) -> _Convert:
    """`fn` under the name that it has in PyTorch: by its text, overrides of `_apply` tell a cast from a move."""
    inner = "convert" if method == "to" else "<lambda>"
    fn.__qualname__ = f"Module.{method}.<locals>.{inner}"
    return fn


class _Manner:
    """How tensors are replaced; the switches are public in `flambeau.__future__`."""

    overwrite = False
    swap = False


manner = _Manner()


class ConversionMethods:
    """The methods of Module that change where its tensors are and of which dtype."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]

    def _apply(self, fn: _Convert, recurse: bool = True) -> Self:
        """Replace all parameters' values and gradients, and all buffers, by `fn` of them; parameters stay the same."""
        if recurse:
            for child in self.children():  # type: ignore[attr-defined]
                child._apply(fn)
        with no_grad():
            for name, param in self._parameters.items():
                if param is None:
                    continue
                if is_lazy(param):
                    param._convert(fn)
                elif manner.swap:
                    swap_tensors(param, _converted(param, fn))
                else:
                    made = fn(param)
                    if type(made) in dispatching and hasattr(
                        made, "__tensor_flatten__"
                    ):  # what it holds are attributes
                        swap_tensors(param, _converted(param, fn, made))
                        continue
                    if manner.overwrite or _gains_or_loses_values(param, made):
                        structure.version += 1
                        self._parameters[name] = _converted(param, fn, made)
                        continue
                    _set_values(param, made)
                    if param.grad is not None:
                        _set_values(param.grad, fn(param.grad))
            for name, buffer in self._buffers.items():
                if is_lazy(buffer):
                    buffer._convert(fn)
                elif buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    if TYPE_CHECKING:

        @overload
        def to(
            self, device: devices.device | str | int | None = ..., dtype: dtype | None = ..., non_blocking: bool = ...,
            *, memory_format: Any = ...,
        ) -> Self: ...  # fmt: skip
        @overload
        def to(self, dtype: dtype, non_blocking: bool = ..., *, memory_format: Any = ...) -> Self: ...
        @overload
        def to(self, tensor: Tensor, non_blocking: bool = ..., *, memory_format: Any = ...) -> Self: ...

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """`to(device=None, dtype=None)`, `to(dtype)` or `to(tensor)`, in place; returns the module.

        Only floating point and complex tensors are cast. TypeError if the dtype is neither. `memory_format` changes nothing: how
        weights lie in memory is XLA's affair; RuntimeError where it can't be that of a parameter with 4 or 5 dimensions.
        """
        ranks: dict[Any, int] = {channels_last: 4, channels_last_3d: 5}
        rank = ranks.get(kwargs.get("memory_format"))
        if rank is not None and any(t.ndim == 9 - rank for t in (*self.parameters(), *self.buffers())):  # type: ignore[attr-defined]
            raise RuntimeError(
                f"required rank {rank} tensor to use {kwargs['memory_format']!r} format".replace("torch.", "")
            )
        if "tensor" in kwargs:
            kwargs["other"] = kwargs.pop("tensor")
        where, target, _ = parse_to(*args, **kwargs)
        if target is not None:
            if not (target.is_floating_point or target.is_complex):
                raise TypeError(
                    f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={target}"
                )
            if target.is_complex:
                warnings.warn(
                    "Complex modules are new: some layers may not work as expected when their parameters or buffers "
                    "are complex tensors."
                )

        def convert(tensor: Tensor) -> Tensor:
            cast = tensor.dtype.is_floating_point or tensor.dtype.is_complex
            try:
                return tensor.to(where, target if cast else None)  # type: ignore[attr-defined]
            except NoData as error:
                raise NoData(
                    f"{error} Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving module "
                    "from meta to a different device."
                ) from None

        return self._apply(_named("to", convert))

    def type(self, dst_type: Any) -> Self:
        """Cast every tensor, integers too."""
        return self._apply(_named("type", lambda tensor: tensor.type(dst_type)))  # type: ignore[attr-defined]

    def float(self) -> Self:
        """Cast floating point tensors to float32."""
        return self._apply(_named("float", lambda t: t.float() if t.dtype.is_floating_point else t))  # type: ignore[attr-defined]

    def double(self) -> Self:
        """Cast floating point tensors to float64."""
        return self._apply(_named("double", lambda t: t.double() if t.dtype.is_floating_point else t))  # type: ignore[attr-defined]

    def half(self) -> Self:
        """Cast floating point tensors to float16."""
        return self._apply(_named("half", lambda t: t.half() if t.dtype.is_floating_point else t))  # type: ignore[attr-defined]

    def bfloat16(self) -> Self:
        """Cast floating point tensors to bfloat16."""
        return self._apply(_named("bfloat16", lambda t: t.bfloat16() if t.dtype.is_floating_point else t))  # type: ignore[attr-defined]

    def cpu(self) -> Self:
        """Move all tensors to the CPU."""
        return self._apply(_named("cpu", lambda t: t.cpu()))  # type: ignore[attr-defined]

    def cuda(self, device: Any = None) -> Self:
        """Move all tensors to a GPU."""
        return self._apply(_named("cuda", lambda t: t.cuda(device)))  # type: ignore[attr-defined]

    def ipu(self, device: Any = None) -> Self:
        """RuntimeError as `Tensor.ipu` raises it, if there is a tensor to move."""
        return self._apply(_named("ipu", lambda t: t.ipu(device)))  # type: ignore[attr-defined]

    def xpu(self, device: Any = None) -> Self:
        """AssertionError as `Tensor.xpu` raises it, if there is a tensor to move."""
        return self._apply(_named("xpu", lambda t: t.xpu(device)))  # type: ignore[attr-defined]

    def mtia(self, device: Any = None) -> Self:
        """AssertionError as `Tensor.mtia` raises it, if there is a tensor to move."""
        return self._apply(_named("mtia", lambda t: t.mtia(device)))  # type: ignore[attr-defined]

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give all tensors new memory on `device`, with arbitrary values."""
        where = devices.resolve(device)

        def empty(tensor: Tensor) -> Tensor:
            values = np.broadcast_to(np.zeros((), tensor._np_dtype), tuple(tensor.shape))
            held = laid_beside(tensor._storage, values)
            return wrap(devices.put(values, where)) if held is None else blank(Tensor, held)

        return self._apply(_named("to_empty", empty), recurse=recurse)

    def share_memory(self) -> Self:
        """`Tensor.share_memory_` of all tensors. RuntimeError if one of them is uninitialized."""
        for tensor in (*self.parameters(), *self.buffers()):  # type: ignore[attr-defined]
            tensor.share_memory_()
        return self


def _gains_or_loses_values(old: Tensor, new: Tensor) -> bool:
    """Whether one of the two is on the meta device. As in PyTorch, a parameter is then another object."""
    return (old.device.type == "meta") != (new.device.type == "meta")


def _converted(param: Any, fn: _Convert, values: Tensor | None = None) -> Any:
    """A new parameter, with the converted values and gradient."""
    made: Any = Parameter(fn(param.detach()) if values is None else values, param.requires_grad)
    if param.grad is not None:
        made.grad = fn(param.grad.detach()).requires_grad_(param.grad.requires_grad)
    return made


def _set_values(tensor: Any, made: Tensor) -> None:
    if made is not tensor:
        tensor.data = made
