"""Where tensors are: predicates of devices, devices that are not here, the order of dimensions in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax

from ...core.array.dtypes import cpp_name, dtype, from_numpy
from ...core.array.formats import contiguous_format, memory_format
from ...core.array.geometry import contiguous_strides
from ...core.context.tracing import Untraceable, recorder
from ...core.dispatch.messages import message
from ...core.dispatch.operator import _attach, _publish, composite
from ...core.tape import taking
from ...core.tensor.looks import from_storage
from ...core.tensor.tensor import Tensor
from .constants import check_options, empty, size_of


@composite(methods=False)
def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor that is dense in memory with its dimensions in the order `physical_layout`, outermost first.

    RuntimeError unless that names each dimension once.
    """
    check_options("empty_permuted", layout, pin_memory)
    shape, order = size_of("empty_permuted", (), size), tuple(physical_layout)
    if len(shape) != len(order):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}"
        )
    seen: set[int] = set()
    for dim in order:
        if not 0 <= dim < len(shape):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got {dim} at index "
                f"{order.index(dim)}).  NB: negative dims not currently supported; file an issue if you want it."
            )
        if dim in seen:
            raise RuntimeError("Duplicate dim not allowed")
        seen.add(dim)
    turned = empty([shape[dim] for dim in order], dtype=dtype, device=device)
    strides = dict(zip(order, contiguous_strides(tuple(turned.shape)), strict=True))
    made = from_storage(turned._storage, shape, tuple(strides[dim] for dim in range(len(shape))))
    return made.requires_grad_() if requires_grad else made


def dim_order(self: Tensor, *, ambiguity_check: bool | Sequence[Any] = False) -> tuple[int, ...]:
    """The dimensions from the one with the largest stride to the one with the smallest.

    With `ambiguity_check`, RuntimeError if sizes of 1 (or 0) leave several orders; a list of memory formats says which of
    them count.
    """
    listed = isinstance(ambiguity_check, list) and all(isinstance(f, memory_format) for f in ambiguity_check)
    if not isinstance(ambiguity_check, bool) and not listed:
        raise TypeError(message("dim_order_ambiguity_check"))
    strides, shape = self.stride(), tuple(self.shape)
    order = tuple(sorted(range(self.ndim), key=lambda d: (-strides[d], d)))
    if ambiguity_check is False:
        return order
    text = message("dim_order_unclear")
    if ambiguity_check is True:
        if len(set(strides)) < len(strides) or any(n <= 1 for n in shape):
            raise RuntimeError(text)
        return order
    fitting = [f for f in ambiguity_check if self.is_contiguous(memory_format=f)]
    if len(fitting) != 1:
        raise RuntimeError(text)
    return tuple(range(self.ndim)) if fitting[0] is contiguous_format else fitting[0].order or order


_attach(dim_order, ("dim_order",))


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor: beside an accelerator XLA stages what is sent by itself. RuntimeError without one, and on the meta device."""
    if self.is_meta:  # type: ignore[attr-defined]
        raise RuntimeError(f"cannot pin 'Meta{self.dtype.abbr}Type' only dense CPU tensors can be pinned")
    if jax.default_backend() == "cpu":
        raise RuntimeError(
            "Cannot access accelerator device when none is available. Nothing is sent anywhere from here."
        )
    return self


def const_data_ptr(self: Tensor) -> int:
    """`data_ptr`, for who only reads there."""
    return self.data_ptr()


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What a module's `load_state_dict` puts in this tensor's place (with `torch.__future__.set_swap_module_params_on_conversion`):
    this tensor with `other`'s values, or with `assign` a tensor of `other`'s memory."""
    return other.detach() if assign else self.copy_(other).detach()


def is_distributed(self: Tensor) -> bool:
    """Always False."""
    return False


composite(methods=True)(is_distributed)
for _function in (const_data_ptr, module_load, pin_memory):
    _attach(_function, (_function.__name__,))


@composite(methods=False)
def is_inference(input: Tensor) -> bool:
    """Always False: `inference_mode` makes ordinary tensors here."""
    return False


@composite(methods=False)
def get_device(input: Tensor) -> int:
    """The number of the device; -1 for the CPU."""
    return input.get_device()


def is_vulkan_available() -> bool:
    """Always False."""
    return False


_publish("is_vulkan_available", is_vulkan_available, ("torch",))


def _refuse_computed(self: Tensor, verb: str) -> None:
    if not self.is_leaf:
        raise RuntimeError(f"grad_dtype can only be {verb} on leaf tensors.")


def _grad_dtype(self: Tensor) -> dtype | None:
    """The dtype of a leaf's gradient: its own at first. In another that is set gradients arrive cast; None lets any in."""
    _refuse_computed(self, "accessed")
    takes = taking.taken_at(self)
    return None if takes is None else from_numpy(takes)


def _set_grad_dtype(self: Tensor, value: Any) -> None:
    if value is not None and not isinstance(value, dtype):
        raise RuntimeError(f"grad_dtype must be a torch.dtype or None, but got {type(value).__name__}")
    _refuse_computed(self, "set")
    if recorder() is not None:
        raise Untraceable("it sets a tensor's grad_dtype: do that outside")
    if value is not None and self._grad is not None and self._grad.dtype is not value:
        new, held = value.abbr, cpp_name(self._grad.dtype)
        raise RuntimeError(message("grad_dtype_unlike_grad", new=new, held=held))
    taking.tell(self, None if value is None else value.numpy)


Tensor.grad_dtype = property(_grad_dtype, _set_grad_dtype, doc=_grad_dtype.__doc__)  # type: ignore[attr-defined]
Tensor.is_cuda = property(lambda self: self.device.type == "cuda", doc="Whether it lies on a device of this kind.")  # type: ignore[attr-defined]
Tensor.is_cpu = property(lambda self: self.device.type == "cpu", doc="Whether it lies on a device of this kind.")  # type: ignore[attr-defined]
Tensor.is_meta = property(lambda self: self.device.type == "meta", doc="Whether it lies on a device of this kind.")  # type: ignore[attr-defined]
Tensor.is_quantized = property(lambda self: False, doc="False: there are no quantized tensors.")  # type: ignore[attr-defined]
Tensor.is_mps = property(lambda self: False, doc="False: there are no such devices under XLA's plugins here.")  # type: ignore[attr-defined]
Tensor.is_mkldnn = property(lambda self: False, doc="False: tensors have no layout of MKL-DNN's.")  # type: ignore[attr-defined]
Tensor.is_nested = property(lambda self: False, doc="Whether it is a nested tensor.")  # type: ignore[attr-defined]
Tensor.is_xla = property(lambda self: False, doc="False: PyTorch's own XLA devices are not these.")  # type: ignore[attr-defined]
Tensor.is_xpu = property(lambda self: False, doc="False: there are no such devices here.")  # type: ignore[attr-defined]
for _name in ("is_ipu", "is_maia", "is_mtia", "is_vulkan"):
    setattr(Tensor, _name, property(lambda self: False, doc="False: there are no such devices here."))


def _elsewhere(name: str, error: type[Exception], text: str) -> Callable[..., NoReturn]:
    def move(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> NoReturn:
        raise error(text)

    move.__name__ = move.__qualname__ = name
    move.__doc__ = f"Raises {error.__name__}: there is no such device here."
    return move


for _name, _error, _text in (
    ("ipu", RuntimeError, "PyTorch is not linked with support for ipu devices"),
    ("xpu", AssertionError, "Torch not compiled with XPU enabled"),
    ("mtia", AssertionError, "Torch not compiled with MTIA enabled. There is no such device under XLA's plugins here"),
):
    _attach(_elsewhere(_name, _error, _text), (_name,))


def record_stream(self: Tensor, s: Any) -> None:
    """Nothing for a GPU's stream, since XLA keeps memory alive itself. RuntimeError on the CPU."""
    if self.device.type != "cuda":
        raise RuntimeError("record_stream: unknown parameter type: only tensors on a GPU are used in streams")


def reinforce(self: Tensor, reward: Any) -> NoReturn:
    """Raises RuntimeError, as PyTorch does since it was removed."""
    raise RuntimeError(
        "reinforce() was removed.\nUse torch.distributions instead.\nSee https://pytorch.org/docs/main/distributions.html"
    )


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """The old name of `view`; RuntimeError if the number of elements differs."""
    warnings.warn("non-inplace resize is deprecated", UserWarning, stacklevel=2)
    return _resized(self, sizes)


def _resized(self: Tensor, sizes: tuple[Any, ...]) -> Tensor:
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    count = 1
    for n in shape:
        count *= n
    if count != self.shape.numel():
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, shape))} ({count} elements in total), but the given tensor has a size of "
            f"{'x'.join(map(str, self.shape))} ({self.shape.numel()} elements). autograd's resize can only change the shape of a "
            "given tensor, while preserving the number of elements. "
        )
    return self.contiguous().view(shape)


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """`resize` to another tensor's shape."""
    warnings.warn("non-inplace resize_as is deprecated", UserWarning, stacklevel=2)
    return _resized(self, tuple(tensor.shape))


for _function in (record_stream, reinforce, resize, resize_as):  # type: ignore[assignment]
    _attach(_function, (_function.__name__,))


@composite(public=())
def to_padded_tensor(input: Tensor, padding: float, output_size: Any = None) -> Tensor:
    """Of a nested tensor (`torch.nested`) a dense one, with `padding` where a part has no element. NotImplementedError for others."""
    raise NotImplementedError(
        "Could not run 'aten::to_padded_tensor' with arguments from the 'CPU' backend. Only nested tensors are padded"
    )
