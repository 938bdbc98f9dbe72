"""Models whose layers are observed, and such whose weights are rounded while they train."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

from ...core.dispatch.messages import message
from ...nn.modules.activation import MultiheadAttention
from ...nn.modules.container import Sequential
from ...nn.modules.dropout import Dropout
from ...nn.modules.module import Module
from ...nn.modules.rnn import LSTM
from .._classes import exactly
from ..nn.intrinsic.modules.fused import _FusedModule
from ..nn.quantized.modules.functional_modules import FloatFunctional
from ._refused import refused
from .quantization_mappings import (
    DEFAULT_MODULE_TO_ACT_POST_PROCESS,
    get_default_qat_module_mappings,
    get_default_qconfig_propagation_list,
)
from .stubs import DeQuantStub, QuantWrapper

__all__ = ["add_quant_dequant", "prepare", "prepare_qat", "propagate_qconfig_", "swap_module"]

if not TYPE_CHECKING:
    __getattr__ = refused


def propagate_qconfig_(module: Module, qconfig_dict: Any = None, prepare_custom_config_dict: Any = None) -> None:
    """Every module gets a `qconfig`: its own, the one that `qconfig_dict` has for its name or class, or that of the one around it.

    Of the model's own children, those get none that `prepare_custom_config_dict` names in "non_traceable_module_name", or
    whose class it has in "non_traceable_module_class".
    """
    given = prepare_custom_config_dict or {}
    names, kinds = (given.get(f"non_traceable_module_{which}") or () for which in ("name", "class"))
    left = {child for name, child in module.named_children() if name in names or exactly(child) in kinds}
    _propagate(module, qconfig_dict or {}, None, "", left)


def _propagate(module: Module, named: dict[Any, Any], around: Any, path: str, left: set[Module]) -> None:
    found = named.get(path, named.get(exactly(module), around))
    module.qconfig = getattr(module, "qconfig", found)
    for name, child in module.named_children():
        if child not in left:
            _propagate(child, named, module.qconfig, f"{path}.{name}" if path else name, left)


def _observer_forward_hook(self: Any, input: Any, output: Any) -> Any:
    return self.activation_post_process(output)


def _observe(module: Module, observer: Any) -> None:
    module.add_module("activation_post_process", observer)
    module.register_forward_hook(_observer_forward_hook, prepend=True)


def _observed(name: str, child: Module, found: Any) -> Module:
    """What comes in the place of a layer: of class `found`, or refused where there is none."""
    if found is None:
        kind = exactly(child).__name__
        raise NotImplementedError(
            f"{name} (nn.{kind}) has a qconfig, and the quantizable {kind} that PyTorch puts in its place is not here: leave the "
            f"layer out (its `qconfig = None`), or give your own class in prepare's `prepare_custom_config_dict`"
        )
    made: Module = found.from_float(child)
    return made


def _add_observers(module: Module, allowed: Any, whole: Any, own: dict[Any, Any], path: str = "") -> None:
    for name, child in tuple(module.named_children()):
        kind, wanted = exactly(child), getattr(child, "qconfig", None)
        if kind is Dropout:
            continue
        if isinstance(child, FloatFunctional):
            if wanted is not None:
                child.activation_post_process = wanted.activation()
        elif isinstance(child, _FusedModule) or kind in whole:
            if wanted is not None:
                _observe(child, wanted.activation())
        elif wanted is not None and child.training and kind in DEFAULT_MODULE_TO_ACT_POST_PROCESS:
            _observe(child, DEFAULT_MODULE_TO_ACT_POST_PROCESS[kind]())
        elif wanted is not None and kind in own:
            module._modules[name] = _observed(path + name, child, own[kind])
        else:
            _add_observers(child, allowed, whole, own, f"{path}{name}.")
    leaf = not any(name != "parametrizations" for name in module._modules)
    wanted = getattr(module, "qconfig", None)
    if leaf and wanted is not None and exactly(module) in allowed and not isinstance(module, (Sequential, DeQuantStub)):
        _observe(module, wanted.activation())


def prepare(
    model: Module, inplace: bool = False, allow_list: Any = None, observer_non_leaf_module_list: Any = None,
    prepare_custom_config_dict: Any = None,
) -> Module:  # fmt: skip
    """The model with an observer behind each layer that has a `qconfig`, or whose surroundings have one.

    What a layer gives goes through its observer (`activation_post_process`). For classes that `prepare_custom_config_dict` has
    in "float_to_observed_custom_module_class" comes what `from_float` of the other class makes of the layer. Without it,
    `nn.LSTM` and `nn.MultiheadAttention`, which PyTorch replaces, are refused: give them `qconfig = None`.
    """
    if not inplace:
        model = copy.deepcopy(model)
    allowed = get_default_qconfig_propagation_list() if allow_list is None else allow_list
    propagate_qconfig_(model)
    if not any(getattr(module, "qconfig", None) for module in model.modules()):
        warnings.warn(message("qconfig_nowhere"), stacklevel=2)
    own = {LSTM: None, MultiheadAttention: None}
    if prepare_custom_config_dict is not None:
        own = prepare_custom_config_dict.get("float_to_observed_custom_module_class") or {}
    _add_observers(model, allowed, observer_non_leaf_module_list or (), own)
    return model


def prepare_qat(model: Module, mapping: Any = None, inplace: bool = False) -> Module:
    """The model for training with rounding: layers with a `qconfig` round their weights, and what they give.

    `mapping` tells which class comes in the place of which. Raises AssertionError if the model is not in training mode.
    """
    if not model.training:
        raise AssertionError("prepare_qat only works on models in training mode")
    mapping = get_default_qat_module_mappings() if mapping is None else mapping
    if not inplace:
        model = copy.deepcopy(model)
    propagate_qconfig_(model)
    _swap_within(model, mapping)
    return prepare(model, True, observer_non_leaf_module_list=set(mapping.values()))


def _swap_within(module: Module, mapping: dict[Any, Any]) -> None:
    swapped = {}
    for name, child in module.named_children():
        if not isinstance(child, _FusedModule):
            _swap_within(child, mapping)
        swapped[name] = swap_module(child, mapping, {})
    module._modules.update(swapped)


def swap_module(
    mod: Any, mapping: dict[Any, Any], custom_module_class_mapping: Any, use_precomputed_fake_quant: bool = False
) -> Any:
    """What `mapping` has for the module's class, made of the module; the module itself without a `qconfig` or an entry.

    Its hooks stay with it.
    """
    if getattr(mod, "qconfig", None) is None or exactly(mod) not in mapping:
        return mod
    new = mapping[exactly(mod)].from_float(mod)
    for hook in mod._forward_pre_hooks.values():
        new.register_forward_pre_hook(hook)
    for hook in mod._forward_hooks.values():
        if hook is not _observer_forward_hook:
            new.register_forward_hook(hook)
    return new


def add_quant_dequant(module: Any) -> Any:
    """Layers that have a `qconfig` stand between stubs."""
    if not any(module.children()) and getattr(module, "qconfig", None):
        return QuantWrapper(module)
    for name, child in module.named_children():
        module._modules[name] = add_quant_dequant(child)
    return module
