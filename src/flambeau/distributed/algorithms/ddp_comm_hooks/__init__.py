"""How gradients travel between processes."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any

from ....runtime.absent import refused
from . import debugging_hooks, default_hooks, post_localSGD_hook, powerSGD_hook

__all__ = ["DDPCommHookType", "register_ddp_comm_hook"]


def _plain(model: Any, state: Any, comm_hook: Callable[..., Any]) -> None:
    model.register_comm_hook(state, comm_hook)


def _low_rank(model: Any, state: Any, comm_hook: Callable[..., Any], matrix_approximation_rank: int) -> None:
    own = powerSGD_hook.PowerSGDState(
        process_group=state, matrix_approximation_rank=matrix_approximation_rank, start_powerSGD_iter=10
    )
    model.register_comm_hook(own, comm_hook)


def _quantized(name: str) -> Any:
    return refused(
        name, __name__, "gradients are sent as floats here; FP16_COMPRESS, BF16_COMPRESS and POWER_SGD send less"
    )


class DDPCommHookType(enum.Enum):
    """The hooks by name. Those that quantize are refused (NotImplementedError) when they are registered."""

    ALLREDUCE = functools.partial(_plain, comm_hook=default_hooks.allreduce_hook)
    FP16_COMPRESS = functools.partial(_plain, comm_hook=default_hooks.fp16_compress_hook)
    BF16_COMPRESS = functools.partial(_plain, comm_hook=default_hooks.bf16_compress_hook)
    QUANTIZE_PER_TENSOR = functools.partial(_quantized("quantization_pertensor_hook"))
    QUANTIZE_PER_CHANNEL = functools.partial(_quantized("quantization_perchannel_hook"))
    POWER_SGD = functools.partial(_low_rank, comm_hook=powerSGD_hook.powerSGD_hook, matrix_approximation_rank=1)
    POWER_SGD_RANK2 = functools.partial(_low_rank, comm_hook=powerSGD_hook.powerSGD_hook, matrix_approximation_rank=2)
    BATCHED_POWER_SGD = functools.partial(
        _low_rank, comm_hook=powerSGD_hook.batched_powerSGD_hook, matrix_approximation_rank=1
    )
    BATCHED_POWER_SGD_RANK2 = functools.partial(
        _low_rank, comm_hook=powerSGD_hook.batched_powerSGD_hook, matrix_approximation_rank=2
    )
    NOOP = functools.partial(_plain, comm_hook=debugging_hooks.noop_hook)


def register_ddp_comm_hook(comm_hook_type: DDPCommHookType, model: Any, state: Any = None) -> None:
    """Have a model's gradients averaged by one of the hooks; `state` is the group of processes."""
    comm_hook_type.value(model=model, state=state)
