"""Fake tensors: tensors on the meta device that say they are on another one.

What `torch._subclasses.fake_tensor` is for: to run a program for its shapes, dtypes and devices alone. A fake tensor is a
tensor without values of a class of its own, which asks to see every public function (`__torch_function__`). Functions
compute on what it is, a meta tensor; between them `device` is the one it stands for.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ..core.array import devices
from ..core.array.meta import NoData, is_meta
from ..core.context.grad_mode import state as _state
from ..core.context.overrides import no_subclasses
from ..core.tensor.tensor import Tensor, blank, wrap
from ..ops.making.casting import parse_to
from ..overrides import TorchFunctionMode

__all__ = [
    "DataDependentOutputException",
    "DynamicOutputShapeException",
    "FakeTensor",
    "FakeTensorDeviceMismatchError",
    "FakeTensorMode",
    "UnsupportedFakeTensorException",
    "is_fake",
    "maybe_get_fake_mode",
    "unset_fake_temporarily",
]


class UnsupportedFakeTensorException(RuntimeError):
    """A tensor of a kind that can't be faked. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DynamicOutputShapeException(RuntimeError):
    """The shape of a result depends on values. `func` is the name of the operator."""

    def __init__(self, func: str) -> None:
        super().__init__(func)
        self.func = func


class DataDependentOutputException(DynamicOutputShapeException):
    """The result itself is a value, as that of `item()`."""


class FakeTensorDeviceMismatchError(RuntimeError):
    """Fake tensors of several devices in one call."""


# functions that may have tensors of several devices, or whose result is not where their first argument is
_MIX = frozenset(
    ("copy_", "to", "type_as", "__get__", "__set__", "set_", "__getitem__", "__setitem__", "embedding", "is_same_size")
)
_FACTORIES = frozenset(
    (
        "arange", "as_tensor", "asarray", "bartlett_window", "blackman_window", "empty", "empty_permuted", "empty_strided",
        "eye", "full", "hamming_window", "hann_window", "kaiser_window", "linspace", "logspace", "ones", "rand", "randint",
        "randn", "randperm", "range", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros",
    )
)  # fmt: skip


class FakeTensor(Tensor):
    """A tensor without values: `FakeTensor(mode, meta_tensor, device)`. RuntimeError if the tensor has values."""

    fake_mode: FakeTensorMode
    fake_device: devices.device

    def __new__(
        cls,
        fake_mode: Any = None,
        elem: Any = None,
        device: Any = None,
        *,
        requires_grad: bool | None = None,
        **state: Any,
    ) -> Any:
        fake_mode, device = state.pop("fake_mode", fake_mode), state.pop("fake_device", device)
        if not is_meta(elem._array):
            raise RuntimeError("elem.device.type is not meta: a FakeTensor is made of a tensor on the meta device")
        made = _as_fake(blank(Tensor, elem._storage, elem._view), fake_mode, _indexed(devices.device(device)))
        return made.requires_grad_() if requires_grad or elem.requires_grad else made

    @property
    def device(self) -> devices.device:
        """The device for which it stands; inside of functions, where it is: meta."""
        return self.fake_device if _state.subclasses else devices.META

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not all(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        fakes = [leaf for leaf in _leaves((args, kwargs or {})) if isinstance(leaf, FakeTensor)]
        if not fakes:
            with no_subclasses():
                return func(*args, **(kwargs or {}))
        return fakes[0].fake_mode._run(func, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> NoReturn:
        """Raises RuntimeError."""
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from ..core.array.printing import format_tensor

        with no_subclasses():
            node = self.grad_fn
            text = format_tensor(
                None, self.dtype, shape=tuple(self.shape), requires_grad=self.requires_grad, name="FakeTensor",
                grad_fn_name=None if node is None else node.label,
                device=None if self.fake_device.type == "cpu" else self.fake_device,
            )  # fmt: skip
        return f"Parameter({text})" if self.__dict__.get("_is_param") else text

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo.get(id(self))
        if made is None:
            made = FakeTensor(self.fake_mode, wrap(self._array), self.fake_device, requires_grad=self.requires_grad)
            made.__dict__.update(self.__dict__)
            memo[id(self)] = made
        return made


def _is_on(kind: str) -> property:
    return property(lambda self: self.device.type == kind)


for _kind in ("meta", "cpu", "cuda"):
    setattr(FakeTensor, f"is_{_kind}", _is_on(_kind))


def _indexed(device: devices.device) -> devices.device:
    return devices.device("cuda", 0) if device.type == "cuda" and device.index is None else device


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(function, part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [_mapped(function, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return function(value)


def _as_fake(tensor: Any, mode: FakeTensorMode, device: devices.device) -> Any:
    """The tensor itself, as a fake one: nobody else has it yet."""
    if type(tensor).__name__ == "Parameter":
        tensor._is_param = True
    tensor.__class__ = FakeTensor
    tensor.fake_mode, tensor.fake_device = mode, device
    return tensor


class FakeTensorMode(TorchFunctionMode):
    """While entered, what makes tensors makes fake ones, on any device, whether it is there or not.

    A tensor with values is refused (AssertionError) unless `allow_non_fake_inputs`; `from_tensor` makes a fake one of it.
    `shape_env` has to be None (NotImplementedError): sizes are numbers here.
    """

    def __init__(
        self,
        *,
        allow_fallback_kernels: bool = True,
        allow_non_fake_inputs: bool = False,
        shape_env: Any = None,
        static_shapes: bool | None = None,
        export: bool = False,
    ) -> None:
        if shape_env is not None:
            raise NotImplementedError(
                "FakeTensorMode(shape_env=...): sizes are numbers here, never symbols. Leave it out"
            )
        self.allow_fallback_kernels = allow_fallback_kernels
        self.allow_non_fake_inputs = allow_non_fake_inputs
        self.shape_env = None
        self.static_shapes = True
        self._known: dict[int, Any] = {}  # by the id of a tensor that is alive

    def from_tensor(
        self, tensor: Tensor, *, static_shapes: bool | None = None, source: Any = None, symbolic_context: Any = None,
        trace: bool = True,
    ) -> Any:  # fmt: skip
        """A fake tensor of this one's shape, dtype, device and strides; the same one for the same tensor."""
        if isinstance(tensor, FakeTensor):
            return tensor
        if static_shapes is False:
            raise NotImplementedError("from_tensor(static_shapes=False): sizes are numbers here, never symbols")
        found = self._known.get(id(tensor))
        if found is None:
            with unset_fake_temporarily():
                try:
                    made = tensor.detach().to("meta")  # type: ignore[attr-defined]
                except NotImplementedError as error:
                    raise UnsupportedFakeTensorException(f"{type(tensor).__name__}: {error}") from error
                found = FakeTensor(self, made, tensor.device, requires_grad=tensor.requires_grad)
                if getattr(tensor, "_is_param", False) or type(tensor).__name__ == "Parameter":
                    found._is_param = True
            self._known[id(tensor)] = found
            weakref.finalize(tensor, self._known.pop, id(tensor), None)
        return found

    def __enter__(self) -> Any:
        devices.META.__enter__()  # for what the library itself makes
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        devices.META.__exit__(*exc)

    def _default_device(self) -> devices.device:
        return next((d for d in reversed(devices._stack) if d is not devices.META), devices.META)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__" and isinstance(args[0], FakeTensor) and func.__self__ is Tensor.__dict__["device"]:
            return args[0].fake_device
        args, kwargs = _mapped(self._checked(name, args, kwargs), (args, kwargs))
        where = self._place(name, args, kwargs)
        func, args, kwargs = self._on_meta(name, func, where, args, kwargs)
        try:
            with no_subclasses():
                result = func(*args, **kwargs)
        except NoData as error:
            operator = _operator(str(error))
            if not operator:
                raise DataDependentOutputException("aten._local_scalar_dense.default") from error
            raise DynamicOutputShapeException(f"aten.{operator}.default") from error
        except RuntimeError as error:
            if "Tensor.item() cannot be called on meta tensors" not in str(error):
                raise
            raise DataDependentOutputException("aten._local_scalar_dense.default") from error
        return _mapped(lambda leaf: self._faked(leaf, where), result)

    def _checked(self, name: str, args: Any, kwargs: Any) -> Callable[[Any], Any]:
        def checked(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or isinstance(leaf, FakeTensor):
                return leaf
            if is_meta(leaf._storage.value):  # what a layer has made or computed on the default device
                return _as_fake(leaf, self, self._default_device())
            if name in ("__get__", "__set__"):
                return leaf
            if self.allow_non_fake_inputs:
                return self.from_tensor(leaf)
            raise AssertionError(
                "Please convert all Tensors to FakeTensors first or instantiate FakeTensorMode with 'allow_non_fake_inputs'. "
                f"Found in aten.{name} (a tensor of shape {list(leaf.shape)})"
            )

        return checked

    def _place(self, name: str, args: Any, kwargs: dict[str, Any]) -> devices.device:
        """Where the result is to be."""
        if name == "to" and isinstance(args[0], FakeTensor):
            asked = parse_to(*args[1:], **kwargs)[0]
            return args[0].fake_device if asked is None else _indexed(asked)
        if name in ("cpu", "cuda") and args and isinstance(args[0], FakeTensor):
            asked = args[1] if len(args) > 1 else kwargs.get("device", name)
            return _indexed(devices.device(name if asked is None else asked))
        if kwargs.get("device") is not None:
            return _indexed(devices.device(kwargs["device"]))
        fakes = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, FakeTensor)]
        if not fakes:
            return self._default_device()
        with no_subclasses():
            first = next((fake for fake in fakes if fake.ndim), fakes[0])
            other = next((f for f in fakes if f.ndim and f.fake_device != first.fake_device), None)
        if other is not None and name not in _MIX:
            raise FakeTensorDeviceMismatchError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{first.fake_device} and {other.fake_device}!"
            )
        return (fakes[0] if name in _MIX else first).fake_device

    def _on_meta(
        self, name: str, func: Any, where: Any, args: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        """The function and the arguments for the meta tensors that compute."""
        if name in ("to", "cpu", "cuda") and args and isinstance(args[0], FakeTensor):
            _, target, copy = parse_to(*args[1:], **kwargs) if name == "to" else (None, None, False)
            copy = copy or where != args[0].fake_device
            return Tensor.to, (args[0],), {"dtype": target, "copy": copy}  # type: ignore[attr-defined]
        if kwargs.get("device") is not None or name in _FACTORIES:
            kwargs = {**kwargs, "device": "meta"}
        return func, args, kwargs

    def _faked(self, leaf: Any, where: devices.device) -> Any:
        if not isinstance(leaf, Tensor) or isinstance(leaf, FakeTensor):
            return leaf
        if not is_meta(leaf._storage.value):
            return leaf
        return _as_fake(leaf, self, where)


def _operator(text: str) -> str:
    """The operator that an error of a meta tensor names."""
    for begin in ("aten::", "torch."):
        if begin in text:
            return text.partition(begin)[2].split(":")[0].split("(")[0]
    return ""


def is_fake(x: Any) -> bool:
    """Whether this is a fake tensor."""
    return isinstance(x, FakeTensor)


def maybe_get_fake_mode(t: Any) -> FakeTensorMode | None:
    """The mode of a fake tensor, or of the fake ones in a sequence or dict; None if there are none."""
    return next((leaf.fake_mode for leaf in _leaves(t) if isinstance(leaf, FakeTensor)), None)


@contextlib.contextmanager
def unset_fake_temporarily() -> Iterator[FakeTensorMode | None]:
    """Within this context no `FakeTensorMode` is on."""
    before = _state.modes
    fake = [mode for mode in before if isinstance(mode, FakeTensorMode)]
    _state.set_modes(tuple(mode for mode in before if not isinstance(mode, FakeTensorMode)))
    try:
        with fake[-1]._default_device() if fake else contextlib.nullcontext():
            yield fake[-1] if fake else None
    finally:
        _state.set_modes(before)
