"""Tensors that a module owns: parameters, buffers, and those of either kind whose shape is not known yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from ..core.array import devices, dtypes
from ..core.context.grad_mode import state as grad_state
from ..core.context.overrides import disabled, dispatching, never_asked, no_subclasses
from ..core.dispatch.help import explain_namespace as _explain
from ..core.dispatch.messages import message
from ..core.tensor.copying import reduced
from ..core.tensor.storage import Storage, copy_of_parts
from ..core.tensor.tensor import Tensor, blank, from_host, wrap

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _OwnedMeta(type(Tensor)):  # type: ignore[misc]
    """Lets tensors of another class count as instances of `Parameter` or `Buffer` if they carry its mark."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        mark = cls.__dict__.get("_mark")
        return mark is not None and isinstance(instance, Tensor) and bool(instance.__dict__.get(mark))


def _values(data: Any, what: str) -> Tensor:
    if data is None:
        return from_host(np.zeros(0, dtypes.get_default_dtype().numpy))
    if not isinstance(data, Tensor):
        kind = (
            type(data).__qualname__
            if type(data).__module__ == "builtins"
            else f"{type(data).__module__}.{type(data).__name__}"
        )
        raise AttributeError(f"{kind!r} object has no attribute 'detach': write {what}(torch.tensor(...))")
    return data


@never_asked
class Parameter(Tensor, metaclass=_OwnedMeta):
    """A tensor that becomes one of a module's parameters when it is assigned to an attribute of the module.

    It shares the memory of `data` and requires grad (also inside `no_grad`) unless `requires_grad` is False.
    RuntimeError if `data` is neither floating point nor complex and `requires_grad` is True.
    """

    _mark = "_is_param"
    __torch_function__: Any = disabled

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Self:
        data = _values(data, "Parameter")
        kind = type(data)
        if kind is Tensor or kind is Parameter:
            return Tensor._make_subclass(cls, data, requires_grad)
        # a user's own subclass of Tensor stays what it is, and is marked
        made = data.detach().requires_grad_(requires_grad)
        if type(made) is not kind and kind in dispatching:
            raise RuntimeError(message("parameter_of_a_class", kind=kind.__name__, made=type(made).__name__))
        if type(made) is not kind:
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {kind.__name__} requires that detach() returns an instance of "
                f"the same type, but return type {type(made).__name__} was found instead. Its __torch_function__ has to keep "
                "the type there."
            )
        made._is_param = True  # type: ignore[attr-defined]
        return made  # type: ignore[return-value]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo.get(id(self))
        if made is None:
            held = None if self._view is not None or grad_state.trace is not None else copy_of_parts(self._storage)
            values = wrap(self._array) if held is None else blank(Tensor, held)
            made = memo[id(self)] = type(self)(values, self.requires_grad)
        return made

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __str__(self) -> str:
        return repr(self)  # a subclass's, too

    def __reduce_ex__(self, protocol: Any) -> Any:
        function, (_, *parts) = reduced(self)
        return function, (Parameter, *parts)


class Buffer(Tensor, metaclass=_OwnedMeta):
    """A tensor that becomes one of a module's buffers when it is assigned to an attribute of the module.

    What comes back is a plain Tensor with the memory of `data` and a mark, for which `isinstance(x, Buffer)` holds.
    `persistent=False` keeps it out of the module's state dict.
    """

    _mark = "_is_buffer"
    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        data = _values(data, "Buffer")
        kind = Tensor if isinstance(data, Parameter) else type(data)
        made = Tensor._make_subclass(kind, data, data.requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made


class _NoValues(Storage):
    """A cell without values yet: only their dtype and device are known."""

    __slots__ = ("awaited_device", "awaited_dtype", "kind")

    def __init__(self, dtype: np.dtype, device: devices.device, kind: str):
        self.version = 0
        self.awaited_dtype = dtype
        self.awaited_device = device
        self.kind = kind

    def _refuse(self) -> Any:
        raise ValueError(
            f"Attempted to use an uninitialized parameter: this {self.kind} gets its shape and values in the first "
            "forward of its lazy module. Call the module with a dummy batch before you use its parameters."
        )

    value = property(_refuse)
    shape = property(_refuse)  # type: ignore[assignment]

    @property
    def dtype(self) -> np.dtype:
        return self.awaited_dtype

    def read(self, g: Any) -> Any:
        self._refuse()

    def set(self, value: Any) -> None:
        self._refuse()


_WITHOUT_VALUES = frozenset("__get__ __set__ __delete__ copy_ is_complex is_floating_point get_device size".split())


class UninitializedTensorMixin:
    """What uninitialized parameters and buffers have in common: everything that needs values or a shape refuses.

    `materialize` gives them both. They can be moved and converted before that.
    """

    cls_to_become: type
    _storage: Storage

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Only attributes, and the methods below, can be had before there are values. ValueError for all others."""
        if func.__name__ not in _WITHOUT_VALUES:
            raise ValueError(
                f"Attempted to use an uninitialized "
                f"parameter in {func}. This error happens when you are using a `LazyModule` or explicitly manipulating "
                f"`torch.nn.parameter.{cls.__name__}` objects. When using LazyModules "
                "Call `forward` with a dummy batch to initialize the parameters before calling torch functions"
            )
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[misc]

    def _wait(self, dtype: np.dtype, device: devices.device) -> None:
        self._storage = _NoValues(dtype, device, type(self).__name__)

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take on `shape` with arbitrary values, and become an ordinary parameter or buffer."""
        target = self._storage.dtype if dtype is None else dtype.numpy
        where = self.device if device is None else device
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self._repoint(from_host(np.zeros(shape, target), where))  # type: ignore[attr-defined]
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def _convert(self, function: Callable[[Tensor], Tensor]) -> None:
        """Await the dtype and device that `function` gives to an empty tensor of this one's."""
        made = function(self._stand_in())
        self._wait(made._np_dtype, made.device)

    def _stand_in(self) -> Tensor:
        return from_host(np.zeros(0, self._storage.dtype), self.device)

    @property
    def device(self) -> devices.device:
        """Where the values will be."""
        return self._storage.awaited_device  # type: ignore[attr-defined]

    @property
    def shape(self) -> Any:
        """Not known yet: RuntimeError."""
        raise RuntimeError(
            "Can't access the shape of an "
            "uninitialized parameter or buffer. This error usually happens in `load_state_dict` when "
            "trying to load an uninitialized parameter into an initialized one. Call `forward` to initialize the "
            "parameters before accessing their attributes."
        )

    @property
    def data(self) -> Tensor:
        """An empty tensor of the right dtype and device."""
        return self._stand_in()

    def share_memory_(self) -> Any:
        raise RuntimeError(
            "Can't share memory on an "
            "uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad,)  # type: ignore[attr-defined]


def _converting(name: str) -> Callable[..., Any]:
    def convert(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = type(self)(self.requires_grad)
        made._wait(self._storage.dtype, self.device)
        made._convert(lambda empty: getattr(empty, name)(*args, **kwargs))
        return made

    convert.__name__ = name
    convert.__doc__ = f"`Tensor.{name}` of what is still to come."
    return convert


for _name in ("to", "type", "float", "double", "half", "bfloat16", "cpu", "cuda"):
    setattr(UninitializedTensorMixin, _name, _converting(_name))


def _uninitialized(cls: type, requires_grad: bool, device: Any, dtype: Any) -> Any:
    target = dtypes.get_default_dtype() if dtype is None else dtype
    where = devices.get_default_device() if device is None else devices.device(device)
    made = blank(cls, _NoValues(target.numpy, where, cls.__name__))
    if requires_grad:
        with no_subclasses():
            made.requires_grad_()
    return made


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[override, misc]
    """A parameter whose shape will be known at the first forward of its lazy module."""

    _mark = None  # type: ignore[assignment]
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return _uninitialized(cls, requires_grad, device, dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo.get(id(self))
        if made is None:
            dtype = dtypes.from_numpy(self._storage.dtype)
            made = memo[id(self)] = type(self)(self.requires_grad, self.device, dtype)  # type: ignore[attr-defined, call-arg]
        return made


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[override]
    """A buffer whose shape will be known at the first forward of its lazy module."""

    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        made = _uninitialized(cls, requires_grad, device, dtype)
        made.persistent = persistent
        made._is_buffer = True
        return made


def is_lazy(param: Any) -> bool:
    """Whether it is a parameter or buffer without a shape yet."""
    return isinstance(param, UninitializedTensorMixin)


_ParameterMeta = type(Parameter)

_explain(globals(), "torch.nn.parameter")
