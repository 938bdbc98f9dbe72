"""Modules that look at the values that pass, and tell by which scale and zero point they would be rounded."""

from __future__ import annotations

import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from ...core.array import dtypes
from ...core.context.grad_mode import no_grad
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...ops.making.constants import zeros
from ...ops.making.creation import tensor
from ...ops.making.quantized import (
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
)
from ._refused import refused
from .utils import check_min_max_valid, quantized_range, validate_qmin_qmax

__all__ = """
    FixedQParamsObserver MinMaxObserver MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver NoopObserver ObserverBase
    PerChannelMinMaxObserver PlaceholderObserver RecordingObserver ReuseInputObserver UniformQuantizationObserverBase
    default_affine_fixed_qparams_observer default_debug_observer default_dynamic_quant_observer
    default_fixed_qparams_range_0to1_observer default_fixed_qparams_range_neg1to1_observer default_float_qparams_observer
    default_float_qparams_observer_4bit default_observer default_per_channel_weight_observer default_placeholder_observer
    default_reuse_input_observer default_symmetric_fixed_qparams_observer default_weight_observer get_observer_state_dict
    load_observer_state_dict per_channel_weight_observer_range_neg_127_to_127 weight_observer_range_neg_127_to_127
""".split()

if not TYPE_CHECKING:
    __getattr__: Any = refused

EPS: Any = 2.0**-23  # of float32
QUINT8, QINT8, QUINT4X2 = (
    next(kind for kind in dtypes.OPAQUE if kind.name == name) for name in ("quint8", "qint8", "quint4x2")
)
Limits = tuple[Tensor, Tensor]


class _PartialWrapper:
    """A class with some of its arguments; those in `callable_args` are made anew for each object."""

    def __init__(self, p: Any):
        self.p = p
        self.callable_args: dict[str, Callable[[], Any]] = {}

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        made = {name: make() for name, make in self.callable_args.items() if name not in keywords}
        return self.p(*args, **keywords, **made)

    def __repr__(self) -> str:
        return repr(self.p) + repr(self.callable_args)

    def with_args(self, **kwargs: Any) -> _PartialWrapper:
        """The same with more arguments."""
        return _with_args(self, **kwargs)

    def with_callable_args(self, **kwargs: Any) -> _PartialWrapper:
        """The same with arguments that these functions give."""
        return _with_callable_args(self, **kwargs)


def _with_args(made: Any, **kwargs: Any) -> _PartialWrapper:
    """What makes objects of the class with these arguments."""
    return _PartialWrapper(functools.partial(made, **kwargs))


def _with_callable_args(made: Any, **kwargs: Any) -> _PartialWrapper:
    """What makes objects of the class with arguments that these functions give, each time anew."""
    wrapper = made if isinstance(made, _PartialWrapper) else _PartialWrapper(functools.partial(made))
    found = _PartialWrapper(wrapper.p)
    found.callable_args = {**wrapper.callable_args, **kwargs}
    return found


class ObserverBase(ABC, Module):
    """What all observers are: `forward` looks at a tensor, `calculate_qparams` tells scale and zero point."""

    def __init__(self, dtype: Any, is_dynamic: bool = False):
        super().__init__()
        self.dtype = dtype
        self.is_dynamic = is_dynamic

    @abstractmethod
    def forward(self, x: Tensor) -> Any: ...

    @abstractmethod
    def calculate_qparams(self, **kwargs: Any) -> Any: ...

    with_args = classmethod(_with_args)
    with_callable_args = classmethod(_with_callable_args)


class UniformQuantizationObserverBase(ObserverBase):
    """Observers of a smallest and a largest value, between which the grid is even."""

    _version = 3
    _schemes: ClassVar[tuple[Any, ...]] = (
        per_tensor_affine, per_tensor_symmetric, per_channel_affine, per_channel_symmetric, per_channel_affine_float_qparams,
    )  # fmt: skip
    eps: Tensor
    min_val: Tensor
    max_val: Tensor

    def __init__(
        self, dtype: Any = QUINT8, qscheme: Any = per_tensor_affine, reduce_range: bool = False, quant_min: int | None = None,
        quant_max: int | None = None, factory_kwargs: dict[str, Any] | None = None, eps: float = EPS, is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(dtype=dtype, is_dynamic=is_dynamic, **kwargs)
        self.qscheme = qscheme
        if reduce_range:
            warnings.warn(message("observer_reduce_range"), stacklevel=2)
        self.reduce_range = reduce_range
        self.register_buffer("eps", tensor([eps], **(factory_kwargs or {})))
        if qscheme not in self._schemes:
            raise AssertionError(message("observer_schemes"))
        low, high = quantized_range(dtype)  # AssertionError for dtypes that are not quantized
        self.has_customized_qrange: bool = quant_min is not None and quant_max is not None
        if quant_min is not None and quant_max is not None:
            validate_qmin_qmax(quant_min, quant_max)
            _require_bits(dtype, quant_max - quant_min + 1)
            low, high = quant_min, quant_max
        narrow = self.has_customized_qrange or high - low == 255  # PyTorch leaves other dtypes their range
        self.quant_min, self.quant_max = (low // 2, high // 2) if reduce_range and narrow else (low, high)

    def _validate_qmin_qmax(self, quant_min: int, quant_max: int) -> None:
        validate_qmin_qmax(quant_min, quant_max)

    def _calculate_qparams(self, min_val: Tensor, max_val: Tensor) -> Limits:
        """Scale and zero point for values between these limits (and 0)."""
        if not check_min_max_valid(min_val, max_val):
            return tensor([1.0]), tensor([0])
        low, high = min_val.clamp(max=0), max_val.clamp(min=0)
        steps = float(self.quant_max - self.quant_min)
        if self.qscheme in (per_tensor_symmetric, per_channel_symmetric):
            scale = (-low).maximum(high) / (steps / 2)
            scale = scale.maximum(self.eps)
            zero = zeros(scale.shape, dtype=dtypes.int64) + self._middle()
        elif self.qscheme == per_channel_affine_float_qparams:
            scale = (max_val - min_val) / steps
            scale = scale.where(scale > self.eps, scale.new_ones(scale.shape))
            zero = -min_val / scale
        else:
            scale = ((high - low) / steps).maximum(self.eps)
            zero = (self.quant_min - (low / scale).round().to(dtypes.int32)).clamp(self.quant_min, self.quant_max)
        return scale.reshape(-1) if scale.ndim == 0 else scale, zero.reshape(-1) if zero.ndim == 0 else zero

    def _middle(self) -> int:
        """The zero point of symmetric ranges."""
        if self.dtype in (QUINT8, dtypes.uint8):
            return (self.quant_min + self.quant_max) // 2 if self.has_customized_qrange else 128
        return 32768 if self.dtype == dtypes.uint16 else 0

    def _extremes(self, x: Tensor) -> Limits:
        low, high = x.aminmax()
        return low, high

    def _begun(self) -> bool:
        return not (float(self.min_val) == float("inf") and float(self.max_val) == float("-inf"))

    def _moved(self, low: Tensor, high: Tensor) -> Limits:
        """The limits from now on, where there were some before."""
        return low.minimum(self.min_val), high.maximum(self.max_val)

    def forward(self, x_orig: Tensor) -> Tensor:
        """The tensor itself, whose limits are noted."""
        if x_orig.numel() == 0:
            return x_orig
        with no_grad():
            limits = self._extremes(x_orig.detach().to(self.min_val.dtype))
            if self._begun():
                limits = self._moved(*limits)
            for own, new in zip((self.min_val, self.max_val), limits, strict=True):
                if own.shape != new.shape:
                    own.resize_(new.shape)
                own.copy_(new)
        return x_orig

    def calculate_qparams(self) -> Limits:  # type: ignore[override]
        """Scale and zero point for what was seen."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"

    def reset_min_max_vals(self) -> None:
        """Nothing was seen."""
        raise NotImplementedError("Cannot reset min/max values in the given observer.")


def _require_bits(dtype: Any, count: int) -> None:
    if dtype in (QINT8, dtypes.int8) and count > 256:
        raise AssertionError(message("observer_range", count=256))


def _own_name(observer: Any) -> str:
    """The class that PyTorch's texts name: of a subclass, the one that it comes from."""
    return next(kind.__name__ for kind in type(observer).__mro__ if kind.__module__ == __name__)


class MinMaxObserver(UniformQuantizationObserverBase):
    """The smallest and the largest value of all that was seen."""

    def __init__(
        self, dtype: Any = QUINT8, qscheme: Any = per_tensor_affine, reduce_range: bool = False, quant_min: int | None = None,
        quant_max: int | None = None, factory_kwargs: dict[str, Any] | None = None, eps: float = EPS, is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if qscheme not in (per_tensor_affine, per_tensor_symmetric):
            raise NotImplementedError(message("observer_per_tensor"))
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic, **kwargs)
        self.register_buffer("min_val", tensor(float("inf"), **(factory_kwargs or {})))
        self.register_buffer("max_val", tensor(float("-inf"), **(factory_kwargs or {})))
        if self.qscheme == per_tensor_symmetric and self.reduce_range and self.dtype == QUINT8:
            raise NotImplementedError(message("observer_reduced_symmetric"))

    def reset_min_max_vals(self) -> None:
        """Nothing was seen."""
        with no_grad():
            self.min_val.fill_(float("inf"))
            self.max_val.fill_(float("-inf"))


class MovingAverageMinMaxObserver(MinMaxObserver):
    """A moving average of each tensor's smallest and largest value."""

    def __init__(
        self, averaging_constant: float = 0.01, dtype: Any = QUINT8, qscheme: Any = per_tensor_affine, reduce_range: bool = False,
        quant_min: int | None = None, quant_max: int | None = None, eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if qscheme not in (per_tensor_affine, per_tensor_symmetric):
            raise NotImplementedError(message("observer_moving", scheme=qscheme))
        self.averaging_constant = averaging_constant
        if is_dynamic and averaging_constant != 1:
            raise NotImplementedError(message("observer_dynamic_average", constant=averaging_constant))
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic, **kwargs)

    def _moved(self, low: Tensor, high: Tensor) -> Limits:
        return (
            self.min_val + self.averaging_constant * (low - self.min_val),
            self.max_val + self.averaging_constant * (high - self.max_val),
        )


class PerChannelMinMaxObserver(UniformQuantizationObserverBase):
    """The smallest and the largest value in each place of `ch_axis`."""

    def __init__(
        self, ch_axis: int = 0, dtype: Any = QUINT8, qscheme: Any = per_channel_affine, reduce_range: bool = False,
        quant_min: int | None = None, quant_max: int | None = None, factory_kwargs: dict[str, Any] | None = None,
        eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if qscheme not in (per_channel_symmetric, per_channel_affine, per_channel_affine_float_qparams):
            raise NotImplementedError(message("observer_per_channel", name=_own_name(self)))
        if is_dynamic:
            raise NotImplementedError(f"{_own_name(self)} doesn't support dynamic quantization")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic, **kwargs)
        self.ch_axis = ch_axis
        for name in ("min_val", "max_val"):
            self.register_buffer(name, tensor([], **(factory_kwargs or {})))
        if self.qscheme == per_channel_symmetric and self.reduce_range and self.dtype == QUINT8:
            raise NotImplementedError(" ".join(message("observer_reduced_symmetric").split()))

    def _extremes(self, x: Tensor) -> Limits:
        rows = x.movedim(self.ch_axis, 0).flatten(start_dim=1)
        low, high = rows.aminmax(dim=1)
        return low, high

    def _begun(self) -> bool:
        return self.min_val.numel() > 0 and self.max_val.numel() > 0

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        version = args[0].get("version")
        ending = "s" if version is not None and version < 3 else ""
        for name in ("min_val", "max_val"):
            given = state_dict.pop(f"{prefix}{name}s", None) if ending else state_dict.get(f"{prefix}{name}")
            if given is not None:
                state_dict[f"{prefix}{name}"] = given
                getattr(self, name).resize_(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def reset_min_max_vals(self) -> None:
        """Nothing was seen."""
        self.min_val = tensor([])
        self.max_val = tensor([])


class MovingAveragePerChannelMinMaxObserver(PerChannelMinMaxObserver):
    """A moving average of the smallest and the largest value in each place of `ch_axis`."""

    def __init__(
        self, averaging_constant: float = 0.01, ch_axis: int = 0, dtype: Any = QUINT8, qscheme: Any = per_channel_affine,
        reduce_range: bool = False, quant_min: int | None = None, quant_max: int | None = None, eps: float = EPS,
        is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic, **kwargs
        )
        self.averaging_constant = averaging_constant

    def _moved(self, low: Tensor, high: Tensor) -> Limits:
        return (
            self.min_val + self.averaging_constant * (low - self.min_val),
            self.max_val + self.averaging_constant * (high - self.max_val),
        )


class FixedQParamsObserver(ObserverBase):
    """A scale and a zero point that are given and stay."""

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, scale: float, zero_point: int, dtype: Any = QUINT8, qscheme: Any = per_tensor_affine, quant_min: int = 0,
        quant_max: int = 255, is_dynamic: bool = False, **kwargs: Any,
    ):  # fmt: skip
        if is_dynamic:
            raise NotImplementedError("FixedQParamsObserver doesn't support dynamic quantization")
        super().__init__(dtype=dtype, is_dynamic=is_dynamic, **kwargs)
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.register_buffer("scale", tensor([scale], dtype=dtypes.float32))
        self.register_buffer("zero_point", tensor([zero_point], dtype=dtypes.int32))
        self.qscheme = qscheme

    def forward(self, X: Tensor) -> Tensor:
        return X

    def calculate_qparams(self) -> Limits:  # type: ignore[override]
        """What was given."""
        return self.scale, self.zero_point


class _NoLimits(ObserverBase):
    """Observers that have no scale to tell."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def calculate_qparams(self, **kwargs: Any) -> NoReturn:
        """Refused: there is nothing to tell."""
        raise Exception(f"calculate_qparams should not be called for {type(self).__name__}")


class PlaceholderObserver(_NoLimits):
    """Looks at nothing: it says with which dtype a layer would compute."""

    def __init__(
        self, dtype: Any = dtypes.float32, custom_op_name: str = "", compute_dtype: Any = None, quant_min: int | None = None,
        quant_max: int | None = None, qscheme: Any = None, eps: float | None = None, is_dynamic: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(dtype=dtype, is_dynamic=is_dynamic)
        self.qscheme = per_tensor_affine if qscheme is None else qscheme
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.eps: float = EPS if eps is None else eps
        self.custom_op = custom_op_name
        if compute_dtype:
            warnings.warn(message("observer_compute_dtype"), stacklevel=2)

    def extra_repr(self) -> str:
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"


class RecordingObserver(_NoLimits):
    """Keeps a copy of every tensor that it sees."""

    def __init__(self, dtype: Any = QUINT8):
        super().__init__(dtype=dtype)
        self.tensor_val: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.tensor_val.append(x.clone())
        return x

    def get_tensor_value(self) -> list[Tensor]:
        """What was seen."""
        return self.tensor_val


class NoopObserver(_NoLimits):
    """Looks at nothing."""

    def __init__(self, dtype: Any = dtypes.float16, custom_op_name: str = "") -> None:
        super().__init__(dtype=dtype)
        self.custom_op = custom_op_name


class ReuseInputObserver(_NoLimits):
    """Says that an operator's result is on the grid of its input."""

    def __init__(self) -> None:
        super().__init__(QUINT8)


def _is_observers(key: str) -> bool:
    return "activation_post_process" in key


def get_observer_state_dict(mod: Module) -> dict[str, Any]:
    """What the model's observers have seen: the part of its state that is theirs."""
    state = mod.state_dict()
    found = type(state)((key, value) for key, value in state.items() if _is_observers(key))
    if hasattr(state, "_metadata"):
        found._metadata = {k: v for k, v in state._metadata.items() if _is_observers(k)}  # type: ignore[attr-defined]
    return found


def load_observer_state_dict(mod: Module, obs_dict: dict[str, Any]) -> None:
    """Give the model's observers what those of another one have seen; what is missing stays as it is."""
    mod.load_state_dict(obs_dict, strict=False)


_NARROW_WEIGHTS = {"quant_min": -127, "quant_max": 127, "eps": 2**-12}
default_observer: Any = MinMaxObserver.with_args(quant_min=0, quant_max=127)
default_placeholder_observer = PlaceholderObserver
default_debug_observer = RecordingObserver
default_weight_observer: Any = MinMaxObserver.with_args(dtype=QINT8, qscheme=per_tensor_symmetric)
weight_observer_range_neg_127_to_127: Any = MinMaxObserver.with_args(
    dtype=QINT8, qscheme=per_tensor_symmetric, **_NARROW_WEIGHTS
)
default_per_channel_weight_observer: Any = PerChannelMinMaxObserver.with_args(
    dtype=QINT8, qscheme=per_channel_symmetric
)
per_channel_weight_observer_range_neg_127_to_127: Any = PerChannelMinMaxObserver.with_args(
    dtype=QINT8, qscheme=per_channel_symmetric, **_NARROW_WEIGHTS
)
default_dynamic_quant_observer: Any = PlaceholderObserver.with_args(
    dtype=QUINT8, quant_min=0, quant_max=255, is_dynamic=True
)
_FLOAT_ZEROS = {"qscheme": per_channel_affine_float_qparams, "ch_axis": 0}
default_float_qparams_observer: Any = PerChannelMinMaxObserver.with_args(dtype=QUINT8, **_FLOAT_ZEROS)
default_float_qparams_observer_4bit: Any = PerChannelMinMaxObserver.with_args(dtype=QUINT4X2, **_FLOAT_ZEROS)
default_fixed_qparams_range_neg1to1_observer: Any = FixedQParamsObserver.with_args(
    scale=2.0 / 256.0, zero_point=128, dtype=QUINT8, quant_min=0, quant_max=255
)
default_fixed_qparams_range_0to1_observer: Any = FixedQParamsObserver.with_args(
    scale=1.0 / 256.0, zero_point=0, dtype=QUINT8, quant_min=0, quant_max=255
)
default_symmetric_fixed_qparams_observer = default_fixed_qparams_range_neg1to1_observer
default_affine_fixed_qparams_observer = default_fixed_qparams_range_0to1_observer
default_reuse_input_observer = ReuseInputObserver
