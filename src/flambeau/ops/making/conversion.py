"""Tensors out of and into other things: Python numbers and lists, NumPy, DLPack, other dtypes and devices."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ...core.array import devices, dtypes, geometry
from ...core.array.devices import lend
from ...core.array.formats import channels_last, channels_last_3d, contiguous_format
from ...core.array.meta import MetaArray
from ...core.array.size import counted
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS, dispatching, unseen
from ...core.context.tracing import JAX_NEEDS_VALUES, Untraceable, structure
from ...core.context.warned import warn_once
from ...core.dispatch.messages import message
from ...core.dispatch.operator import _attach, _publish, composite
from ...core.dispatch.overloads import taken
from ...core.tape.nodes import Refusing
from ...core.tensor import copying, memory
from ...core.tensor.looks import from_storage
from ...core.tensor.repointing import may_hold
from ...core.tensor.sparse import is_sparse, layout_of
from ...core.tensor.storage import HostStorage, PartsStorage, Storage, cut_over, is_between_processes
from ...core.tensor.tensor import Tensor, wrap
from ..support.checks import refuse_no_tensor
from .creation import from_numpy, tensor


def _method(function: Any) -> Any:
    setattr(Tensor, function.__name__, function)
    return function


def _host(self: Tensor) -> np.ndarray:
    """The values as a read-only NumPy array, without a copy where the values are on the CPU."""
    return np.asarray(_concrete(self._array))


def _concrete(array: Any) -> Any:
    transform = grad_state.transforms
    return transform.concrete(array) if transform else array


@_method
def item(self: Tensor) -> Any:
    """The one element as a Python number. Raises RuntimeError if there are more, or none."""
    if grad_state.dispatch_modes and (found := taken("item", self)) is not PASS:
        return found
    if (found := _number_in_memory(self)) is not None:
        return found
    storage = self._storage
    if (
        type(storage) is PartsStorage and self.numel() == 1
    ):  # as in PyTorch this process's own: it may ask without the others
        if not storage.host.part.size:
            raise RuntimeError("_local_scalar_dense: Empty tensor not supported: another process has the element")
        if storage.host.part.size == 1:
            return storage.host.part.item()
    array = _concrete(self._array)
    if array.size != 1:
        raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
    return array.item()


_NUMBERS = "?bhilqBfd"  # whose numbers NumPy gives as Python's own


def _number_in_memory(self: Tensor) -> Any:
    """The number of a tensor without dimensions if it lies in the CPU's memory: no program has to fetch it. Else None."""
    if grad_state.trace is not None or grad_state.transforms:
        return None
    storage, view = self._storage, self._view
    if view is not None and (view.shape or view.bits is not None):
        return None
    kind = type(storage)
    if kind is HostStorage:  # which stays there
        host = storage.host
        if host is not None and host.dtype.char in _NUMBERS:
            return host.item(view.offset) if view is not None else None if host.shape else host.item()
    elif kind is not Storage:
        return None
    if view is None:
        return None if storage.value.shape else devices.number_in(storage.value)
    return devices.number_in(storage.value, view.offset)


@_method
def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers; a number for a 0-dim tensor. RuntimeError for one cut over processes."""
    if type(self) in dispatching:
        raise RuntimeError(f".tolist() is not supported for tensor subclasses, got {type(self).__name__}")
    cut = cut_over(self._storage)
    in_parts = type(self._storage) is PartsStorage and any(p.is_shard() for p in self._storage.host.placements)
    if cut is not None and devices.is_far(cut) and (in_parts or not cut.is_fully_replicated):
        raise RuntimeError(
            ".tolist() is not supported for tensor subclasses, got DTensor: to_local() or full_tensor() first"
        )
    return _host(self).tolist()


@_method
def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """A NumPy array that shares this tensor's memory: a write to either is seen by the other.

    Raises RuntimeError for a tensor that requires grad, TypeError for one on another device or of a dtype that NumPy
    lacks; `force=True` detaches, moves and copies as needed.
    """
    if type(self) in dispatching:
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")
    if grad_state.grad and self.requires_grad:
        if not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self.detach().numpy(force=True)
    if self.dtype is dtypes.bfloat16 or self.dtype in dtypes.NARROW:
        raise TypeError(f"Got unsupported ScalarType {self.dtype.abbr}")
    if is_sparse(self):
        name = "".join(part.title() for part in layout_of(self).removesuffix("_coo").split("_"))
        raise TypeError(f"can't convert {name} layout tensor to numpy. Use Tensor.to_dense() first.")
    if self.device.type != "cpu":
        if not force:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return np.array(self._array)
    if grad_state.transforms and isinstance(self._array, jax.core.Tracer):
        return _host(self)
    if grad_state.trace is not None:
        _host(self)  # of a tensor from outside, whose memory may be another's at the next call, that ends the trace
    storage = self._storage
    owner = storage.in_numpy()
    return owner if self._view is None else storage.view(self._view)  # type: ignore[attr-defined]


@_method
def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    if grad_state.grad and self.requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if self.is_meta:
        return self.numpy()
    if self.dtype is dtypes.bfloat16 or self.dtype in dtypes.NARROW:
        raise TypeError(f"Got unsupported ScalarType {self.dtype.abbr}: x.float() has the values")
    try:
        array = _host(self)
    except JAX_NEEDS_VALUES as error:
        if grad_state.trace is not None:  # NumPy's functions may take it for an error of their own (`array_equal`)
            grad_state.trace.missed = error
        raise
    return np.array(array, dtype) if copy is not False else array


@_method
def __array_wrap__(self: Tensor, array: np.ndarray, *context: Any) -> Tensor:
    """The result of a NumPy function of this tensor, which is to be a tensor too."""
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    return from_numpy(np.asarray(array))


@_method
def __dlpack__(self: Tensor, **options: Any) -> Any:
    if self.requires_grad:
        raise BufferError(message("dlpack_of_recorded"))
    return lend(self._array).__dlpack__(**{k: v for k, v in options.items() if v is not None and k != "dl_device"})


@_method
def __dlpack_device__(self: Tensor) -> Any:
    return self._array.__dlpack_device__()


class _OnHost:
    """A bare capsule, taken to be in the host's memory, as an object that speaks DLPack."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


@composite(methods=False)
@unseen
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor with the values of anything that speaks DLPack (a copy: flambeau's values are immutable).

    Raises NotImplementedError for `copy=False`, which asks for one memory.
    """
    if copy is False:
        raise NotImplementedError("from_dlpack: flambeau copies; from_numpy shares an array's memory")
    if not hasattr(ext_tensor, "__dlpack__"):
        ext_tensor = _OnHost(ext_tensor)
    made = wrap(jax.numpy.array(jax.dlpack.from_dlpack(ext_tensor), copy=True))
    return made if device is None else made.to(device)


# --- as Python numbers -----------------------------------------------------------------------------------------------


def _boolean(self: Tensor) -> bool:
    if not grad_state.dispatch_modes and (found := _number_in_memory(self)) is not None:
        return bool(found)
    array = self._array
    if array.size != 1:
        if array.size == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(item(self)) if grad_state.dispatch_modes else bool(array)


def _index(self: Tensor) -> int:
    array = self._array
    if array.size != 1 or array.dtype.kind not in "iub":
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(array.item())


Tensor.__bool__ = _boolean  # type: ignore[attr-defined]


_IN_C = {int: "int64_t", float: "double"}


def _converter(kind: Any) -> Any:
    def convert(self: Tensor) -> Any:
        if self.ndim and self.shape.numel() != 1:
            raise ValueError(
                f"only one element tensors can be converted to Python scalars, not {self.shape.numel()} elements"
            )
        if kind is not int and self.requires_grad and grad_state.grad:
            warn_once(message("recorded_as_number"))
        value = self.item()
        if isinstance(value, complex) and kind is not complex:
            if value.imag:
                raise RuntimeError(f"value cannot be converted to type {_IN_C[kind]} without overflow")
            value = value.real
        return kind(value)

    return convert


Tensor.__int__ = _converter(int)  # type: ignore[attr-defined]
Tensor.__float__ = _converter(float)  # type: ignore[attr-defined]
Tensor.__complex__ = _converter(complex)  # type: ignore[attr-defined]
Tensor.__index__ = _index  # type: ignore[attr-defined]


def _length(self: Tensor) -> int:
    if self.ndim == 0:
        raise TypeError("len() of a 0-d tensor")
    return self.shape[0]


def _iterate(self: Tensor) -> Any:
    if self.dim() == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def _contains(self: Tensor, element: Any) -> bool:
    if isinstance(element, (Tensor, int, float, complex)):
        return bool((element == self).any())  # type: ignore[attr-defined]
    raise RuntimeError(
        f"{Tensor.__name__}.__contains__ only supports {Tensor.__name__} or scalar, but you passed in a {type(element)}."
    )


Tensor.__len__ = _length  # type: ignore[attr-defined]
Tensor.__iter__ = _iterate  # type: ignore[attr-defined]
Tensor.__contains__ = _contains  # type: ignore[operator]
Tensor.__reversed__ = lambda self: self.flip(0) if self.ndim else self  # type: ignore[attr-defined]


# --- shape and size --------------------------------------------------------------------------------------------------


@_method
def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dimension."""
    return self.shape if dim is None else self.shape[counted(dim, self.ndim, "size")]


@_method
def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


@composite()
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.shape.numel()


Tensor.ndimension = lambda self: self.dim()  # type: ignore[attr-defined]
Tensor.nelement = lambda self: self.numel()  # type: ignore[attr-defined]
Tensor.element_size = lambda self: self.dtype.itemsize  # type: ignore[attr-defined]
Tensor.itemsize = property(lambda self: self.dtype.itemsize, doc="The bytes of an element.")  # type: ignore[attr-defined]


def _nbytes(self: Tensor) -> int:
    if is_sparse(self):
        raise RuntimeError("nbytes is not defined for sparse tensors. Add the nbytes of the indices and values instead")
    return self.shape.numel() * self.dtype.itemsize


@_method
def is_shared(self: Tensor) -> bool:
    """Whether processes that are forked from this one have the same memory; on a GPU always."""
    return self.device.type == "cuda" or is_between_processes(self._storage)


@_method
def share_memory_(self: Tensor) -> Tensor:
    """Move the values into memory that processes forked from now on share: a write in one is seen in all of them.

    Nothing is done on a GPU. Raises Untraceable in a compiled function, NotImplementedError for a sparse tensor.
    """
    if grad_state.trace is not None:
        raise Untraceable("share_memory_() moves a tensor's memory: call it outside")
    if self.is_meta:  # type: ignore[attr-defined]
        raise RuntimeError("_share_fd_: only available on CPU")
    if is_sparse(self):
        raise NotImplementedError("share_memory_() of a sparse tensor: share its indices() and values()")
    if self.device.type == "cpu":
        self._storage.share_between_processes()
    return self


Tensor.nbytes = property(_nbytes, doc="The bytes of all elements. RuntimeError for sparse tensors.")  # type: ignore[attr-defined]
Tensor.get_device = lambda self: -1 if self.device.index is None else self.device.index  # type: ignore[attr-defined]
Tensor.is_pinned = lambda self, device=None: False  # type: ignore[attr-defined]
Tensor._is_view = lambda self: self._base is not None  # type: ignore[attr-defined]
Tensor.is_inference = lambda self: False  # type: ignore[attr-defined]
Tensor.name = property(lambda self: None, doc="None: tensors have no names.")  # type: ignore[attr-defined]
Tensor.volatile = property(lambda self: False, doc="False, as ever since `no_grad`.")  # type: ignore[attr-defined]


@composite()
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.shape == other.shape


@composite(methods=False)
def _has_compatible_shallow_copy_type(input: Tensor, other: Tensor) -> bool:
    """Whether `input.data = other` is possible: both dense, or both sparse, and both with values or both without."""
    return may_hold(input, other)


@_method
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both look into the same memory in the same way."""
    refuse_no_tensor("is_set_to", "tensor", tensor)
    if grad_state.trace is not None:
        grad_state.trace.look_at_memory(self)
    return self._storage is tensor._storage and self._geometry == tensor._geometry


# --- elements by a Python function -----------------------------------------------------------------------------------


def _by_python(self: Tensor, name: str, function: Any, others: tuple[Tensor, ...]) -> Tensor:
    if self.requires_grad:
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    for other in others:
        if other.dtype is not self.dtype:
            raise TypeError(f"{name}: expected {self.type()} for 'other' (got {other.type()})")
    if self.is_meta:
        return self
    columns = [t.expand(self.shape).flatten().tolist() for t in (self, *others)]
    made = [function(*row) for row in zip(*columns, strict=True)]
    return self.copy_(tensor(made, dtype=self.dtype).view(self.shape))


@_method
def apply_(self: Tensor, callable: Any) -> Tensor:
    """Overwrite each element `v` with `callable(v)`, a Python function of Python numbers. Slow."""
    return _by_python(self, "apply_", callable, ())


@_method
def map_(self: Tensor, tensor: Tensor, callable: Any) -> Tensor:
    """Overwrite each element with `callable(own, other's)`."""
    return _by_python(self, "map_", callable, (tensor,))


@_method
def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Any) -> Tensor:
    """Overwrite each element with `callable(own, x's, y's)`."""
    return _by_python(self, "map2_", callable, (x, y))


_VIEW_DETACHED = (
    "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and "
    "gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
    "these gradients. To fix this error, please refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as the "
    "solution."
)


def detach_(self: Tensor) -> Tensor:
    """Take this tensor off the tape. Raises RuntimeError for a view."""
    if self._base is not None:
        raise RuntimeError(_VIEW_DETACHED)
    if grad_state.trace is not None:
        grad_state.trace.keep_edge(self)
    if self.is_leaf:
        return self.requires_grad_(False)
    self._edge = None
    return self


_attach(detach_, ("detach_",))
_publish("detach_", detach_, ("torch",))


_unseen_detach = Tensor.detach


def _detach(self: Tensor) -> Tensor:
    """The same memory, off the tape."""
    if grad_state.dispatch_modes and (found := taken("detach", self)) is not PASS:
        return found  # type: ignore[no-any-return]
    return _unseen_detach(self)


_detach.__name__ = "detach"
Tensor.detach = _detach  # type: ignore[method-assign]


@composite(methods=False)
def detach(input: Tensor) -> Tensor:
    """The same memory, off the tape."""
    return input.detach()


def _set(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Look into another tensor's memory, with its shape; or into a storage (or a tensor's), as told; else into none.

    RuntimeError for another dtype, and in the backward pass if the tensor was on the tape.
    """
    source = memory.UntypedStorage() if source is None else source
    if isinstance(source, memory.Memory):
        held = getattr(source, "dtype", self.dtype)
        if held is not self.dtype:
            raise RuntimeError(
                f"Expected a Storage of type {self.dtype.abbr.lower()} or an UntypedStorage, but got type {held.abbr} for "
                "argument 1 'storage'"
            )
        return _looking_at(self, source.look(self.dtype, size, stride, storage_offset), None)
    if not isinstance(source, Tensor):
        raise TypeError(f"set_() takes a Tensor or a storage, not {source.__class__.__name__}")
    if self.device != source.device and self.shape.numel():
        raise RuntimeError(
            f'Attempted to set the storage of a tensor on device "{self.device}" to a storage on different device '
            f'"{source.device}".  This is no longer allowed; the devices must match.'
        )
    if source.dtype is not self.dtype:
        kinds = dtypes.cpp_name(source.dtype), dtypes.cpp_name(self.dtype)
        raise RuntimeError(f"Could not set tensor of type {kinds[0]} to a tensor of type {kinds[1]}")
    whole = source
    if size is not None:
        stride = geometry.contiguous_strides(tuple(size)) if stride is None else tuple(stride)
        whole = from_storage(whole._storage, tuple(size), stride, storage_offset)
    return _looking_at(self, whole, source._tape_edge())


def _looking_at(self: Tensor, seen: Tensor, source: Any) -> Tensor:
    self._check_inplace(writes=False)
    edge = self._tape_edge()
    self._repoint(seen)
    if grad_state.grad and (edge is not None or source is not None):
        refusing = Refusing("NotImplemented", (edge, source), 1, "derivative for set_ is not implemented")
        self._base = None
        self._set_edge((refusing, 0))
    return self


Tensor.set_ = _set  # type: ignore[attr-defined]


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Another shape over the same storage, which grows (with zeros) if it must."""
    if not sizes:
        raise TypeError('resize_() missing 1 required positional arguments: "size"')
    given = sizes[0] if len(sizes) == 1 and not hasattr(sizes[0], "__index__") else sizes
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"resize_(): argument 'size' (position 1) must be tuple of ints, not {type(given).__name__}")
    for i, size in enumerate(given, 1):
        if not hasattr(size, "__index__"):
            raise TypeError(
                f"resize_(): argument 'size' failed to unpack the object at pos {i} with error \"type must be tuple of ints,but got "
                f'{type(size).__name__}"'
            )
    return _in_format(_reshaped(self, tuple(map(int, given))), memory_format)


def _by_name(resize: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(resize)
    def call(self: Tensor, *sizes: Any, **named: Any) -> Tensor:
        if not sizes and "size" in named:
            sizes = (named.pop("size"),)
        return resize(self, *sizes, **named)

    return call


resize_: Callable[..., Tensor] = _by_name(resize_)  # type: ignore[no-redef]


def resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """Another tensor's shape over the same storage."""
    if memory_format is not None and memory_format.order is None and memory_format is not contiguous_format:
        memory_format = next((f for f in (channels_last, channels_last_3d) if _is_in(other, f)), None)
    return _in_format(_reshaped(self, tuple(other.shape)), memory_format)


def _is_in(tensor: Tensor, memory_format: Any) -> bool:
    fits = len(memory_format.order) == tensor.ndim
    return fits and tensor.is_contiguous(memory_format=memory_format) and not tensor.is_contiguous()  # type: ignore[attr-defined]


def _in_format(self: Tensor, memory_format: Any) -> Tensor:
    """The same memory, gone through in another order. RuntimeError for a format that is none, or of another number of dimensions."""
    if memory_format is None or memory_format is contiguous_format:
        return self
    order = memory_format.order_of(self.ndim)
    if order is None:
        raise RuntimeError(f"Unsupported memory format {memory_format}")
    strides, step = [0] * self.ndim, 1
    for d in reversed(order):
        strides[d], step = step, step * self.shape[d]
    view = self._geometry
    self._view = geometry.Geometry(tuple(self.shape), tuple(strides), view.offset, view.bits)
    self._cache, self._cache_version = None, -1
    return self


def _reshaped(self: Tensor, shape: tuple[int, ...]) -> Tensor:
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if any(size < 0 for size in shape):
        raise RuntimeError(f"numel: integer multiplication overflow: the sizes {list(shape)} are negative in part")
    if shape == tuple(self.shape):
        return self
    structure.version += 1
    (self if self._base is None else self._base)._edge_version += 1  # to PyTorch it is a write
    view = self._view or geometry.whole(())
    g = geometry.Geometry(shape, geometry.contiguous_strides(shape), view.offset, view.bits)
    if self.is_meta:
        _keep_shapes(self._storage)
        self._storage.set(MetaArray((max(g.numel + g.offset, self._storage.value.size),), self._storage.dtype))
        self._view = g
        return self
    held = np.asarray(self._storage.value).reshape(-1)
    need = -(-(g.numel + g.offset) * self._np_dtype.itemsize // held.dtype.itemsize)
    if g.numel and need > held.size:
        if self._storage.volatile:  # NumPy holds it, too
            raise RuntimeError("Trying to resize storage that is not resizable")
        _keep_shapes(self._storage)
        self._storage.set(jax.device_put(np.concatenate([held, np.zeros(need - held.size, held.dtype)])))
    self._view = g
    self._cache, self._cache_version = None, -1
    return self


def _keep_shapes(storage: Storage) -> None:
    """Tensors that show all of a storage have its shape. Those that do keep it when the storage grows."""
    if sys.getrefcount(storage) <= 3:  # one tensor's, this function's, and the count's
        return
    shape = geometry.whole(storage.shape)
    for other in gc.get_referrers(storage):
        if isinstance(other, Tensor) and other._view is None:
            other._view = shape
            other._cache, other._cache_version = None, -1


_attach(resize_, ("resize_",))
_attach(resize_as_, ("resize_as_",))
_publish("resize_as_", resize_as_, ("torch",))


assert copying.own_state is not None  # the import attaches methods


@unseen
def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


composite(methods=False, asks_arguments=False)(is_tensor)


for _query in ("is_floating_point", "is_complex", "is_signed"):

    def _ask(input: Tensor, _query: str = _query) -> bool:
        return getattr(input.dtype, _query)

    _ask.__name__ = _query
    _ask.__doc__ = f"Whether the dtype {_query.replace('_', ' ')}."
    composite(methods=(_query,))(_ask)
