"""Modules as functions of their parameters, before `torch.func.functional_call`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.tensor.tensor import Tensor
from ..nn.modules.module import Module
from ..nn.utils.stateless import call_with
from ..ops.shape.joining import stack

__all__ = [
    "FunctionalModule", "FunctionalModuleWithBuffers", "combine_state_for_ensemble", "make_functional",
    "make_functional_with_buffers",
]  # fmt: skip

NamesMap = dict[str, list[str]]


def _names(every: Iterable[tuple[str, Tensor]]) -> NamesMap:
    """The names of each tensor, by the first of them."""
    first: dict[int, str] = {}
    names: NamesMap = {}
    for name, tensor in every:
        names.setdefault(first.setdefault(id(tensor), name), []).append(name)
    return names


def _placed(names: NamesMap, values: Iterable[Any]) -> dict[str, Any]:
    """Each value by all of its names."""
    return {name: value for alike, value in zip(names.values(), values, strict=False) for name in alike}


def _untracked(parameters: Iterable[Tensor]) -> None:
    for parameter in parameters:
        parameter.requires_grad_(False)


class FunctionalModule(Module):
    """A module without parameters of its own: `f(params, *args, **kwargs)`."""

    def __init__(self, stateless_model: Module, param_names: tuple[str, ...], names_map: NamesMap) -> None:
        super().__init__()
        self.stateless_model = stateless_model
        self.param_names = param_names
        self.names_map = names_map

    @classmethod
    def _create_from(
        cls, model: Module, disable_autograd_tracking: bool = False
    ) -> tuple[FunctionalModule, tuple[Tensor, ...]]:
        held = copy.deepcopy(model)
        names = _names(held.named_parameters(remove_duplicate=False))
        params = tuple(held.parameters())
        if disable_autograd_tracking:
            _untracked(params)
        return cls(copy.deepcopy(held), tuple(names), names), params

    def forward(self, params: Iterable[Tensor], *args: Any, **kwargs: Any) -> Any:
        return call_with(self.stateless_model, _placed(self.names_map, params), args, kwargs, False, False)


class FunctionalModuleWithBuffers(Module):
    """A module without parameters and buffers of its own: `f(params, buffers, *args, **kwargs)`."""

    def __init__(
        self,
        stateless_model: Module,
        param_names: tuple[str, ...],
        buffer_names: tuple[str, ...],
        param_names_map: NamesMap,
        buffer_names_map: NamesMap,
    ) -> None:
        super().__init__()
        self.stateless_model = stateless_model
        self.param_names = param_names
        self.buffer_names = buffer_names
        self.all_names_map: dict[str, list[str]] = {**param_names_map, **buffer_names_map}

    @classmethod
    def _create_from(
        cls, model: Module, disable_autograd_tracking: bool = False
    ) -> tuple[FunctionalModuleWithBuffers, tuple[Tensor, ...], tuple[Tensor, ...]]:
        held = copy.deepcopy(model)
        params, buffers = tuple(held.parameters()), tuple(held.buffers())
        if disable_autograd_tracking:
            _untracked(params)
        names = (
            _names(held.named_parameters(remove_duplicate=False)),
            _names(held.named_buffers(remove_duplicate=False)),
        )
        return cls(copy.deepcopy(held), tuple(names[0]), tuple(names[1]), *names), params, buffers

    def forward(self, params: Iterable[Tensor], buffers: Iterable[Tensor], *args: Any, **kwargs: Any) -> Any:
        given = _placed(self.all_names_map, (*params, *buffers))
        return call_with(self.stateless_model, given, args, kwargs, False, False)


def make_functional(
    model: Module, disable_autograd_tracking: bool = False
) -> tuple[FunctionalModule, tuple[Tensor, ...]]:
    """The module as a function of its parameters, and copies of these. RuntimeError if it has buffers."""
    if any(True for _ in model.buffers()):
        text = "make_functional(model): `model` has buffers. Please use make_functional_with_buffers(model) instead."
        raise RuntimeError(text)
    return FunctionalModule._create_from(model, disable_autograd_tracking=disable_autograd_tracking)


def make_functional_with_buffers(
    model: Module, disable_autograd_tracking: bool = False
) -> tuple[FunctionalModuleWithBuffers, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The module as a function of its parameters and buffers, and copies of these."""
    return FunctionalModuleWithBuffers._create_from(model, disable_autograd_tracking=disable_autograd_tracking)


def combine_state_for_ensemble(
    models: Sequence[Module],
) -> tuple[FunctionalModuleWithBuffers, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Models of one kind as one function, and their parameters and buffers, each stacked in a new dimension 0.

    RuntimeError for no models, for models of several classes or in several training modes.
    """
    named = "combine_state_for_ensemble: Expected"
    if len(models) == 0:
        raise RuntimeError(f"{named} at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError(f"{named} all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise RuntimeError(f"{named} all models to be of the same class.")
    functions, params, buffers = zip(*(make_functional_with_buffers(model) for model in models), strict=True)
    return functions[0], _stacked(params), _stacked(buffers)


def _stacked(states: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(stack(tensors).detach() for tensors in zip(*states, strict=True))
