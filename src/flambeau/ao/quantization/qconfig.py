"""Which observers look at a layer's results and its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ...core.array.dtypes import float16, float32
from ...core.dispatch.messages import message
from ...nn.modules.linear import Identity
from ...nn.modules.module import Module
from ._refused import refused
from .fake_quantize import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    default_dynamic_fake_quant,
    default_embedding_fake_quant,
    default_embedding_fake_quant_4bit,
    default_fake_quant,
    default_fused_act_fake_quant,
    default_fused_per_channel_wt_fake_quant,
    default_fused_wt_fake_quant,
    default_per_channel_weight_fake_quant,
    default_weight_fake_quant,
    fused_per_channel_wt_fake_quant_range_neg_127_to_127,
    fused_wt_fake_quant_range_neg_127_to_127,
)
from .observer import (
    QINT8,
    MovingAverageMinMaxObserver,
    NoopObserver,
    PlaceholderObserver,
    ReuseInputObserver,
    _PartialWrapper,
    default_debug_observer,
    default_dynamic_quant_observer,
    default_float_qparams_observer,
    default_float_qparams_observer_4bit,
    default_observer,
    default_per_channel_weight_observer,
    default_placeholder_observer,
    default_weight_observer,
)

__all__ = """
    QConfig QConfigAny default_activation_only_qconfig default_debug_qconfig default_dynamic_qat_qconfig
    default_dynamic_qconfig default_embedding_qat_qconfig default_embedding_qat_qconfig_4bit default_per_channel_qconfig
    default_per_channel_symmetric_qnnpack_qat_qconfig default_qat_qconfig default_qat_qconfig_v2 default_qconfig
    default_reuse_input_qconfig default_symmetric_qnnpack_qat_qconfig default_weight_only_qconfig float16_dynamic_qconfig
    float16_static_qconfig float_qparams_weight_only_qconfig float_qparams_weight_only_qconfig_4bit get_default_qat_qconfig
    per_channel_dynamic_qconfig qconfig_equals
""".split()

if not TYPE_CHECKING:
    __getattr__ = refused


class _Pair(NamedTuple):
    activation: Any
    weight: Any


class QConfig(_Pair):
    """What makes the observer of a layer's results (`activation`) and the one of its weights.

    Both are classes, or classes with some arguments (`MinMaxObserver.with_args(...)`): each layer gets objects of its own.
    """

    __slots__ = ()

    def __new__(cls, activation: Any, weight: Any) -> QConfig:
        if isinstance(activation, Module) or isinstance(weight, Module):
            raise ValueError(message("qconfig_of_observers"))
        return super().__new__(cls, activation, weight)


QConfigAny: TypeAlias = QConfig | None

default_qconfig: QConfig = QConfig(default_observer, default_weight_observer)
default_debug_qconfig: QConfig = QConfig(default_debug_observer, default_weight_observer)
default_per_channel_qconfig: QConfig = QConfig(default_observer, default_per_channel_weight_observer)
default_dynamic_qconfig: QConfig = QConfig(default_dynamic_quant_observer, default_weight_observer)
float16_dynamic_qconfig: QConfig = QConfig(
    PlaceholderObserver.with_args(dtype=float16, is_dynamic=True), PlaceholderObserver.with_args(dtype=float16)
)
float16_static_qconfig: QConfig = QConfig(
    PlaceholderObserver.with_args(dtype=float16), PlaceholderObserver.with_args(dtype=float16)
)
per_channel_dynamic_qconfig: QConfig = QConfig(default_dynamic_quant_observer, default_per_channel_weight_observer)
float_qparams_weight_only_qconfig: QConfig = QConfig(default_placeholder_observer, default_float_qparams_observer)
float_qparams_weight_only_qconfig_4bit: QConfig = QConfig(
    default_placeholder_observer, default_float_qparams_observer_4bit
)
default_qat_qconfig: QConfig = QConfig(default_fake_quant, default_weight_fake_quant)
default_dynamic_qat_qconfig: QConfig = QConfig(default_dynamic_fake_quant, default_weight_fake_quant)
default_weight_only_qconfig: QConfig = QConfig(Identity, default_weight_fake_quant)
default_activation_only_qconfig: QConfig = QConfig(default_fake_quant, Identity)
default_qat_qconfig_v2: QConfig = QConfig(default_fused_act_fake_quant, default_fused_wt_fake_quant)
default_reuse_input_qconfig: QConfig = QConfig(ReuseInputObserver, NoopObserver)
default_embedding_qat_qconfig: QConfig = QConfig(NoopObserver.with_args(dtype=float32), default_embedding_fake_quant)
default_embedding_qat_qconfig_4bit: QConfig = QConfig(
    NoopObserver.with_args(dtype=float32), default_embedding_fake_quant_4bit
)
_signed = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=QINT8, reduce_range=False, eps=2**-12
)
default_symmetric_qnnpack_qat_qconfig: QConfig = QConfig(_signed, fused_wt_fake_quant_range_neg_127_to_127)
default_per_channel_symmetric_qnnpack_qat_qconfig: QConfig = QConfig(
    _signed, fused_per_channel_wt_fake_quant_range_neg_127_to_127
)

_BACKENDS = ["fbgemm", "x86", "qnnpack", "onednn"]


def get_default_qat_qconfig(backend: str = "x86", version: int | None = 1) -> QConfig:
    """What training with rounding uses by default for a backend; version 0 looks and rounds in two steps."""
    if backend not in _BACKENDS:
        raise AssertionError(f"backend: {backend} not supported. backend must be one of {_BACKENDS}")
    if version not in (0, 1):
        raise AssertionError(message("qconfig_version", version=version))
    kind = FusedMovingAvgObsFakeQuantize if version else FakeQuantize
    narrow = {} if backend == "onednn" else {"reduce_range": backend in ("fbgemm", "x86")}
    activation = kind.with_args(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, **narrow)
    if backend == "qnnpack":
        return QConfig(activation, default_fused_wt_fake_quant if version else default_weight_fake_quant)
    return QConfig(
        activation, default_fused_per_channel_wt_fake_quant if version else default_per_channel_weight_fake_quant
    )


def _same_maker(one: Any, other: Any) -> bool:
    if isinstance(one, _PartialWrapper) and isinstance(other, _PartialWrapper):
        a, b = one.p, other.p
        if isinstance(a.func, _PartialWrapper) or isinstance(b.func, _PartialWrapper):
            return _same_maker(a.func, b.func) and a.keywords == b.keywords
        if a.func is not b.func or a.args != b.args or a.keywords.keys() != b.keywords.keys():
            return False
        return all(_same_maker(value, b.keywords[name]) for name, value in a.keywords.items())
    return bool(one == other)


def qconfig_equals(q1: QConfigAny, q2: QConfigAny) -> bool:
    """Whether both make the same observers with the same arguments."""
    if q1 is None or q2 is None:
        return q1 is q2
    return _same_maker(q1.activation, q2.activation) and _same_maker(q1.weight, q2.weight)
