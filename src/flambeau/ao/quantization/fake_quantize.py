"""Modules that round what passes to the grid that an observer chooses: training meets the errors that quantization would make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from ...core.array import dtypes
from ...core.context.grad_mode import no_grad
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...ops.layers.fake_quantization import (
    fake_quantize_per_channel_affine,
    fake_quantize_per_tensor_affine,
    fused_moving_avg_obs_fake_quant,
)
from ...ops.making.creation import tensor
from ...ops.making.quantized import (
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
)
from ._refused import refused
from .observer import (
    QINT8,
    QUINT4X2,
    QUINT8,
    FixedQParamsObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    _with_args,
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
)
from .utils import is_per_channel, is_per_tensor, quantized_range

__all__ = """
    FakeQuantize FakeQuantizeBase FixedQParamsFakeQuantize FusedMovingAvgObsFakeQuantize default_affine_fixed_qparams_fake_quant
    default_dynamic_fake_quant default_embedding_fake_quant default_embedding_fake_quant_4bit default_fake_quant
    default_fixed_qparams_range_0to1_fake_quant default_fixed_qparams_range_neg1to1_fake_quant default_fused_act_fake_quant
    default_fused_per_channel_wt_fake_quant default_fused_wt_fake_quant default_per_channel_weight_fake_quant
    default_symmetric_fixed_qparams_fake_quant default_weight_fake_quant disable_fake_quant disable_observer enable_fake_quant
    enable_observer fused_per_channel_wt_fake_quant_range_neg_127_to_127 fused_wt_fake_quant_range_neg_127_to_127
""".split()

if not TYPE_CHECKING:
    __getattr__ = refused


class FakeQuantizeBase(ABC, Module):
    """What all of them are: they can be told to look (`enable_observer`) and to round (`enable_fake_quant`)."""

    fake_quant_enabled: Tensor
    observer_enabled: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fake_quant_enabled", tensor([1], dtype=dtypes.uint8))
        self.register_buffer("observer_enabled", tensor([1], dtype=dtypes.uint8))

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def calculate_qparams(self, **kwargs: Any) -> Any: ...

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Round what passes, or leave it as it is."""
        with no_grad():
            self.fake_quant_enabled.fill_(int(enabled))

    def disable_fake_quant(self) -> None:
        """Leave what passes as it is."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Look at what passes, or don't."""
        with no_grad():
            self.observer_enabled.fill_(int(enabled))

    def disable_observer(self) -> None:
        """Look at nothing: the grid stays."""
        self.enable_observer(False)

    with_args = classmethod(_with_args)


class FakeQuantize(FakeQuantizeBase):
    """Rounds its input to a grid, in floating point; the grid follows what `observer` has seen.

    The gradient passes where nothing was cut off. `observer_kwargs` are the observer's arguments.
    """

    _version = 1
    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, observer: Any = MovingAverageMinMaxObserver, quant_min: int | None = None, quant_max: int | None = None,
        is_dynamic: bool = False, **observer_kwargs: Any,
    ):  # fmt: skip
        super().__init__()
        if quant_min is not None and quant_max is not None:
            _require_inside(observer, observer_kwargs, quant_min, quant_max)
            observer_kwargs.update(quant_min=quant_min, quant_max=quant_max)
        observer_kwargs["is_dynamic"] = is_dynamic
        self.activation_post_process: Any = observer(**observer_kwargs)
        self.quant_min: Any = self.activation_post_process.quant_min
        self.quant_max: Any = self.activation_post_process.quant_max
        self.is_dynamic: Any = self.activation_post_process.is_dynamic
        self.dtype: Any = self.activation_post_process.dtype
        self.qscheme: Any = self.activation_post_process.qscheme
        floating = self.qscheme == per_channel_affine_float_qparams
        self.register_buffer("scale", tensor([1.0], dtype=dtypes.float32))
        self.register_buffer("zero_point", tensor([0], dtype=dtypes.float32 if floating else dtypes.int32))
        if not (is_per_channel(self.qscheme) or is_per_tensor(self.qscheme)):
            raise AssertionError("Only per channel and per tensor quantization are supported in fake quantize")
        self.ch_axis = getattr(self.activation_post_process, "ch_axis", -1)
        self.is_per_channel: bool = is_per_channel(self.qscheme)

    def calculate_qparams(self) -> Any:  # type: ignore[override]
        """The observer's scale and zero point."""
        return self.activation_post_process.calculate_qparams()

    def _follow(self, found: tuple[Tensor, Tensor]) -> None:
        with no_grad():
            for own, new in zip((self.scale, self.zero_point), found, strict=True):
                if own.shape != new.shape:
                    own.resize_(new.shape)
                own.copy_(new)

    def forward(self, X: Tensor) -> Tensor:
        if self.observer_enabled[0] == 1:
            self.activation_post_process(X.detach())
            self._follow(self.calculate_qparams())
        if self.fake_quant_enabled[0] != 1:
            return X
        limits = self.activation_post_process.quant_min, self.activation_post_process.quant_max
        if self.is_per_channel:
            return fake_quantize_per_channel_affine(X, self.scale, self.zero_point, self.ch_axis, *limits)  # type: ignore[no-any-return]
        return fake_quantize_per_tensor_affine(X, self.scale, self.zero_point, *limits)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        names = "fake_quant_enabled observer_enabled quant_min quant_max dtype qscheme ch_axis scale zero_point".split()
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        strict, missing = args[1], args[2]
        for name in ("scale", "zero_point"):
            given = state_dict.get(prefix + name)
            if given is not None:
                getattr(self, name).resize_(given.shape)
            elif strict:
                missing.append(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _require_inside(observer: Any, kwargs: dict[str, Any], quant_min: int, quant_max: int) -> None:
    """AssertionError unless the limits are the dtype's or within them."""
    if quant_min > quant_max:
        raise AssertionError("quant_min must be less than or equal to quant_max")
    dtype = kwargs.get("dtype", QUINT8)
    if hasattr(observer, "p"):  # a class with arguments: the dtype may be one of them
        dtype = getattr(observer.p, "keywords", {}).get("dtype", dtype)
    if dtype.is_floating_point:
        dtypes.iinfo(dtype)  # raises TypeError
    low, high = quantized_range(dtype)
    if quant_min < low:
        raise AssertionError("quant_min out of bound")
    if quant_max > high:
        raise AssertionError("quant_max out of bound")


class FixedQParamsFakeQuantize(FakeQuantize):
    """Rounds to a grid that is given and stays."""

    def __init__(self, observer: Any):
        super().__init__(observer=observer)
        if type(self.activation_post_process) is not FixedQParamsObserver:
            raise AssertionError(f"{type(self).__name__}'s observer must be a FixedQParamsObserver")
        self._observer_ctr = observer
        self.scale = self.activation_post_process.scale
        self.zero_point = self.activation_post_process.zero_point
        if not is_per_tensor(self.qscheme):
            raise AssertionError(
                "Only per tensor quantization is supported" + f" {type(self).__name__}, got {self.qscheme}"
            )

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """What was given."""
        return self.scale, self.zero_point

    def extra_repr(self) -> str:
        names = "fake_quant_enabled observer_enabled scale zero_point dtype".split()
        limits = (
            f"quant_min={self.activation_post_process.quant_min}, quant_max={self.activation_post_process.quant_max}"
        )
        return ", ".join(f"{name}={getattr(self, name)}" for name in names) + f", {limits}, qscheme={self.qscheme}"


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """`FakeQuantize` with a moving average, as one operator (`fused_moving_avg_obs_fake_quant`)."""

    def __init__(
        self, observer: Any = MovingAverageMinMaxObserver, quant_min: int = 0, quant_max: int = 255, **observer_kwargs: Any
    ) -> None:  # fmt: skip
        super().__init__(observer, quant_min, quant_max, **observer_kwargs)
        if not isinstance(
            self.activation_post_process, (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver)
        ):
            raise AssertionError("Fused observer+fake_quant module only works with MovingAverageMinMaxObserver")
        self.register_buffer("fake_quant_enabled", tensor([1], dtype=dtypes.int64))
        self.register_buffer("observer_enabled", tensor([1], dtype=dtypes.int64))
        self.is_symmetric_quant: bool = self.qscheme in (per_tensor_symmetric, per_channel_symmetric)

    def calculate_qparams(self) -> Any:  # type: ignore[override]
        """The observer's scale and zero point."""
        return self.activation_post_process.calculate_qparams()

    def extra_repr(self) -> str:
        seen = self.activation_post_process
        names = "fake_quant_enabled observer_enabled scale zero_point dtype".split()
        limits = f"quant_min={seen.quant_min}, quant_max={seen.quant_max}, qscheme={self.qscheme}"
        told = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"{told}, {limits}, reduce_range={seen.reduce_range}"

    def forward(self, X: Tensor) -> Tensor:
        seen = self.activation_post_process
        return fused_moving_avg_obs_fake_quant(  # type: ignore[no-any-return]
            X, self.observer_enabled, self.fake_quant_enabled, seen.min_val, seen.max_val, self.scale, self.zero_point,
            seen.averaging_constant, seen.quant_min, seen.quant_max, self.ch_axis, self.is_per_channel,
            self.is_symmetric_quant,
        )  # fmt: skip


def _is_one(mod: Any) -> bool:
    return isinstance(mod, FakeQuantizeBase)


def disable_fake_quant(mod: Any) -> None:
    """For `model.apply`: what passes stays as it is."""
    if _is_one(mod):
        mod.disable_fake_quant()


def enable_fake_quant(mod: Any) -> None:
    """For `model.apply`: what passes is rounded."""
    if _is_one(mod):
        mod.enable_fake_quant()


def disable_observer(mod: Any) -> None:
    """For `model.apply`: the grids stay."""
    if _is_one(mod):
        mod.disable_observer()


def enable_observer(mod: Any) -> None:
    """For `model.apply`: the grids follow the values."""
    if _is_one(mod):
        mod.enable_observer()


_WEIGHTS = {"quant_min": -128, "quant_max": 127, "dtype": QINT8}
_NARROW_WEIGHTS = {"quant_min": -127, "quant_max": 127, "dtype": QINT8}
_BYTES = {"observer": MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255}
_ROWS = {"observer": MovingAveragePerChannelMinMaxObserver, "qscheme": per_channel_affine_float_qparams}
default_fake_quant: Any = FakeQuantize.with_args(**_BYTES, dtype=QUINT8, qscheme=per_tensor_affine, reduce_range=True)
default_weight_fake_quant: Any = FakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, **_WEIGHTS, qscheme=per_tensor_symmetric, reduce_range=False
)
default_dynamic_fake_quant: Any = FakeQuantize.with_args(**_BYTES, is_dynamic=True, dtype=QUINT8, averaging_constant=1)
default_fixed_qparams_range_neg1to1_fake_quant: Any = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_neg1to1_observer
)
default_fixed_qparams_range_0to1_fake_quant: Any = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_0to1_observer
)
default_symmetric_fixed_qparams_fake_quant = default_fixed_qparams_range_neg1to1_fake_quant
default_affine_fixed_qparams_fake_quant = default_fixed_qparams_range_0to1_fake_quant
default_per_channel_weight_fake_quant: Any = FakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver,
    **_WEIGHTS,
    qscheme=per_channel_symmetric,
    reduce_range=False,
    ch_axis=0,
)
default_embedding_fake_quant: Any = FakeQuantize.with_args(
    **_ROWS, dtype=QUINT8, quant_min=0, quant_max=255, ch_axis=0, averaging_constant=1
)
default_embedding_fake_quant_4bit: Any = FakeQuantize.with_args(
    **_ROWS, ch_axis=0, dtype=QUINT4X2, averaging_constant=1
)
default_fused_act_fake_quant: Any = FusedMovingAvgObsFakeQuantize.with_args(**_BYTES, dtype=QUINT8)
default_fused_wt_fake_quant: Any = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, **_WEIGHTS, qscheme=per_tensor_symmetric
)
default_fused_per_channel_wt_fake_quant: Any = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, **_WEIGHTS, qscheme=per_channel_symmetric
)
fused_wt_fake_quant_range_neg_127_to_127: Any = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, **_NARROW_WEIGHTS, qscheme=per_tensor_symmetric, eps=2**-12
)
fused_per_channel_wt_fake_quant_range_neg_127_to_127: Any = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, **_NARROW_WEIGHTS, qscheme=per_channel_symmetric, eps=2**-12
)
