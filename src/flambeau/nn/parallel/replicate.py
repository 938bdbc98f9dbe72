"""A module on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ..modules.module import Module

__all__ = ["replicate"]


def _moved(tensor: Tensor | None, device: Any, detach: bool) -> Tensor | None:
    if tensor is None:
        return None
    # a replica's weight is computed from the module's own, so that gradients go back to it
    return (tensor.detach() if detach else tensor).to(device).view_as(tensor)


def _replica(module: Module, device: Any, detach: bool, done: dict[Module, Module], moved: dict[int, Any]) -> Module:
    if module in done:
        return done[module]
    copy = type(module).__new__(type(module))
    done[module] = copy
    state = dict(module.__dict__)
    state.update(_parameters={}, _buffers=dict(module._buffers), _modules=dict(module._modules))
    copy.__dict__ = state
    for name, child in module._modules.items():
        state["_modules"][name] = None if child is None else _replica(child, device, detach, done, moved)
    for name, parameter in module._parameters.items():
        state[name] = moved.setdefault(id(parameter), _moved(parameter, device, detach))
    for name, buffer in module._buffers.items():
        state["_buffers"][name] = None if buffer is None else moved.setdefault(id(buffer), buffer.to(device))
    return copy


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """One copy of `network` for each device.

    The weights of a copy are no parameters of its own: they are computed from the network's, to which their gradients
    go, unless they are detached.
    """
    return [_replica(network, device, detach, {}, {}) for device in devices]
