"""Layers of a model that follow each other are joined."""

from __future__ import annotations

import copy
from typing import Any

from ...nn.modules.linear import Identity
from ...nn.modules.module import Module
from .._classes import exactly
from .fuser_method_mappings import get_fuser_method

__all__ = ["fuse_known_modules", "fuse_modules", "fuse_modules_qat"]


def fuse_known_modules(
    mod_list: list[Any], is_qat: bool, additional_fuser_method_mapping: dict[Any, Any] | None = None
) -> list[Module]:
    """What comes in the place of each of these layers: the joined module, then identities.

    The first layer's pre-hooks and the last one's hooks move to the joined module.
    """
    fuser = get_fuser_method(tuple(map(exactly, mod_list)), additional_fuser_method_mapping)
    joined = fuser(is_qat, *mod_list)
    for name, layer in (("_forward_pre_hooks", mod_list[0]), ("_forward_hooks", mod_list[-1])):
        hooks = getattr(layer, name)
        for hook in list(hooks.values()):
            getattr(joined, f"register{name.removesuffix('s')}")(hook)
        hooks.clear()
    places: list[Module] = [joined]
    for _ in mod_list[1:]:
        identity = Identity()
        identity.training = mod_list[0].training
        places.append(identity)
    return places


def _place_of(model: Any, path: str) -> tuple[Any, str]:
    parent, _, name = path.rpartition(".")
    for step in parent.split(".") if parent else ():
        model = getattr(model, step)
    return model, name


def _fused(
    model: Any, modules_to_fuse: Any, is_qat: bool, inplace: bool, fuser_func: Any, custom: dict[str, Any] | None
) -> Any:
    if not inplace:
        model = copy.deepcopy(model)
    groups = modules_to_fuse if all(isinstance(one, list) for one in modules_to_fuse) else [modules_to_fuse]
    more = (custom or {}).get("additional_fuser_method_mapping", {})
    for paths in groups:
        places = [_place_of(model, path) for path in paths]
        found = fuser_func([getattr(parent, name) for parent, name in places], is_qat, more)
        for (parent, name), module in zip(places, found, strict=True):
            setattr(parent, name, module)
    return model


def fuse_modules(
    model: Any, modules_to_fuse: Any, inplace: bool = False, fuser_func: Any = fuse_known_modules,
    fuse_custom_config_dict: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """The model with these lists of layers joined: a layer and its batch normalization (in evaluation) are one layer.

    `modules_to_fuse` is a list of names, or of such lists. Identities stand where the other layers stood.
    """
    return _fused(model, modules_to_fuse, False, inplace, fuser_func, fuse_custom_config_dict)


def fuse_modules_qat(
    model: Any, modules_to_fuse: Any, inplace: bool = False, fuser_func: Any = fuse_known_modules,
    fuse_custom_config_dict: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """`fuse_modules` for a model in training: a layer and its batch normalization stand in one module."""
    return _fused(model, modules_to_fuse, True, inplace, fuser_func, fuse_custom_config_dict)
