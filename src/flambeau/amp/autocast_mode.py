"""`autocast`: a region in which matrix products and convolutions compute in a lower precision.

What is cast stands in the declarations of operators, `core/dispatch/autocast.py` does it; here it is switched on and off.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from .. import cuda
from ..core.array import dtypes
from ..core.array.devices import device
from ..core.context.grad_mode import state as grad_state
from ..core.dispatch.autocast import Policy, kept
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor
from ..runtime.settings import changes_setting

__all__ = [
    "autocast",
    "autocast_decorator",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]

# The dtypes that each type of device may compute in; the first is the default.
_LOWER = {
    "cpu": (dtypes.bfloat16, dtypes.float16),
    "cuda": (dtypes.float16, dtypes.bfloat16),
    "tpu": (dtypes.bfloat16,),
}


class _Choices(threading.local):
    """What is set in this thread; the policy that operators look at is made of it."""

    def __init__(self) -> None:
        self.dtypes = {name: allowed[0] for name, allowed in _LOWER.items()}
        self.keeps = True
        self.outside: list[Any] = []  # what was set outside of the regions that a trace has entered


_choices = _Choices()


def _type(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    return device(device_type).type


def _on() -> dict[str, Any]:
    policy = grad_state.autocast
    return dict(policy.lower) if policy is not None else {}


def _switch(device_type: str, enabled: bool) -> None:
    on = _on()
    on.pop(device_type, None)
    if enabled:
        on[device_type] = _choices.dtypes[device_type]
    grad_state.autocast = Policy.of(on, _choices.keeps)


def _dtype_outside(name: str) -> dtypes.dtype:
    """What a program that has asked holds for: the regions that it enters itself are none of its surroundings."""
    return (_choices.outside[0][1] if _choices.outside else _choices.dtypes)[name]


def _keeps_outside() -> bool:
    return _choices.outside[0][2] if _choices.outside else _choices.keeps


_DTYPES_OUTSIDE = {name: functools.partial(_dtype_outside, name) for name in _LOWER}


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` can be switched on for this type of device. RuntimeError for an unknown type."""
    return _type(device_type) in _LOWER


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether `autocast` is on in this thread for this type of device."""
    return _type(device_type) in _on()


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch `autocast` on or off in this thread. The device type may be left out and is 'cuda' then."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    _switch(_supported(_type(device_type)), bool(enabled))


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The dtype in which `autocast` lets this type of device compute. RuntimeError if it has none."""
    name = _supported(_type(device_type))
    if grad_state.trace is not None:
        grad_state.trace.guard(_DTYPES_OUTSIDE[name], f"autocast has another dtype for {name} now")
    return _choices.dtypes[name]


@changes_setting
def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """Choose the dtype in which `autocast` lets this type of device compute, in this thread."""
    name = _supported(_type(device_type))
    _choices.dtypes[name] = dtype
    if is_autocast_enabled(name):
        _switch(name, True)


def is_autocast_cache_enabled() -> bool:
    """Whether a parameter that is cast is cast once for the whole region."""
    if grad_state.trace is not None:
        grad_state.trace.guard(_keeps_outside, "autocast's cache was switched on or off")
    return _choices.keeps


@changes_setting
def set_autocast_cache_enabled(enabled: bool) -> None:
    """Choose whether a parameter that is cast is cast once for the whole region."""
    _choices.keeps = bool(enabled)
    grad_state.autocast = Policy.of(_on(), _choices.keeps)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters. Leaving the outermost `autocast` does it."""
    kept.casts.clear()


def _supported(device_type: str) -> str:
    if device_type not in _LOWER:
        raise RuntimeError(f"unsupported scalarType: there is no autocast for device type {device_type!r}")
    return device_type


class autocast:
    """A context manager, and a decorator, in which a device's operators get inputs of the dtype that suits them.

    Matrix products and convolutions get `dtype` (None: bfloat16 on the CPU, float16 on a GPU), losses and what else
    wants precision get float32, all others what comes. Parameters keep their dtype, and gradients come in it. Regions
    may be nested, also with `enabled=False`. `cache_enabled`: whether a parameter is cast once in the region.

    For a GPU that is not there, or a dtype that is no lower precision, a UserWarning says so and nothing is cast.
    Raises RuntimeError for an unknown type of device or one without autocast.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        self.device: str = _type(device_type)
        self.fast_dtype: Any = get_autocast_dtype(self.device) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if not isinstance(self.fast_dtype, dtypes.dtype):
            raise TypeError(f"autocast: dtype must be a dtype, not {type(dtype).__name__}")
        if enabled and self.device == "cuda" and not cuda.is_available():
            warnings.warn(message("autocast_without_cuda"), stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in _LOWER[self.device]:
            allowed = ", ".join(map(str, _LOWER[self.device]))
            warnings.warn(message("autocast_dtypes", device=self.device.upper(), dtypes=allowed), stacklevel=2)
            enabled = False
        self._enabled = bool(enabled)
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        self._before.append((grad_state.autocast, dict(_choices.dtypes), _choices.keeps))
        if grad_state.trace is not None or _choices.outside:
            _choices.outside.append(self._before[-1])
        kept.nesting += 1
        _choices.dtypes[self.device] = self.fast_dtype
        _choices.keeps = self._cache_enabled
        _switch(self.device, self._enabled)
        return self

    def __exit__(self, *exc: object) -> None:
        grad_state.autocast, _choices.dtypes, _choices.keeps = self._before.pop()
        if _choices.outside:
            _choices.outside.pop()
        kept.nesting -= 1
        if not kept.nesting:
            clear_autocast_cache()

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return inside


# --- autograd.Function under autocast --------------------------------------------------------------------------------


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    """The floating point tensors of a device in `value`, however nested, in another dtype."""
    return _cast_to(value, device_type, dtype)


def _cast_to(value: Any, device_type: str, dtype: Any) -> Any:
    if isinstance(value, Tensor):
        wanted = value.is_floating_point() and value.dtype is not dtypes.float64 and value.device.type == device_type
        return value.to(dtype) if wanted else value
    if isinstance(value, dict):
        return {_cast_to(k, device_type, dtype): _cast_to(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_cast_to(v, device_type, dtype) for v in value])
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """Decorate `forward` of an `autograd.Function` that is to be used under `autocast`.

    With `cast_inputs`, a dtype, floating tensors on the device (not float64) come in it, and autocast is off inside,
    if it was on; without, `forward` runs as the region says. Its state is kept for `custom_bwd`.
    """
    name = _type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._dtype = get_autocast_dtype(name)
        on = is_autocast_enabled(name)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(name, enabled=False):
            return fwd(ctx, *_cast_to(args, name, cast_inputs), **_cast_to(kwargs, name, cast_inputs))

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Decorate `backward` of an `autograd.Function`: it runs with autocast as `forward`, under `custom_fwd`, ran."""
    name = _type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(name, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *args, **kwargs)

    return backward


def autocast_decorator(autocast_instance: autocast, func: Any) -> Any:
    """The function, run within an `autocast`."""

    @functools.wraps(func)
    def decorate_autocast(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)

    decorate_autocast.__script_unsupported = "@autocast() decorator is not supported in script mode"  # type: ignore[attr-defined]
    return decorate_autocast
