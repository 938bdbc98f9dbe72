"""What all sparsifiers have: groups of settings, one for each tensor, and its mask."""

from __future__ import annotations

import abc
import copy
from collections import defaultdict
from typing import Any

from ....core.context.grad_mode import no_grad
from ....nn.modules.linear import Linear
from ....nn.modules.module import Module
from ....nn.utils.parametrize import register_parametrization, remove_parametrizations, type_before_parametrizations
from ....ops.making.constants import ones_like
from .utils import FakeSparsity, get_arg_info_from_tensor_fqn, module_contains_param, swap_module

__all__ = ["BaseSparsifier"]

SUPPORTED_MODULES: set[type[Module]] = {Linear}
FOUND = ("module", "module_fqn", "tensor_name")  # what a group knows of its model, which is in no file


class BaseSparsifier(abc.ABC):
    """Masks tensors of a model. A subclass has `update_mask(module, tensor_name, **settings)`, which writes the mask.

    `defaults` are the settings of groups that say nothing of their own.
    """

    def __init__(self, defaults: dict[str, Any] | None = None):
        self.defaults: dict[str, Any] = defaults or {}
        self.state: dict[str, dict[str, Any]] = defaultdict(dict)
        self.groups: list[dict[str, Any]] = []
        self.enable_mask_update = True
        self.config: list[dict[str, Any]] = []
        self.model: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "groups": self.groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("enable_mask_update", True)
        self.__dict__.setdefault("config", [])
        self.__dict__.setdefault("model", None)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.groups):
            text += f"\n\tGroup {i}\n" + "".join(f"\t    {key}: {group[key]}\n" for key in sorted(group))
        return text + ")"

    def state_dict(self) -> dict[str, Any]:
        """The masks by their tensors' paths (`state`), and the settings (`groups`)."""
        groups = [{key: value for key, value in group.items() if key not in FOUND} for group in self.groups]
        return {"state": self.state, "groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> None:
        """Take masks and settings; tensors of the model that are not masked yet are. RuntimeError, with `strict`, for a
        path that the model doesn't have."""
        groups = copy.deepcopy(state_dict["groups"])
        states: dict[str, Any] = defaultdict(dict)
        for path, state in state_dict["state"].items():
            info = get_arg_info_from_tensor_fqn(self.model, path)
            module, name = info["module"], info["tensor_name"]
            if module is None:
                if strict:
                    raise RuntimeError(f"Error loading {path} into the model")
                continue
            mask = state["mask"].clone()
            masks = [p for p in self._masks(module, name) if isinstance(p, FakeSparsity)]
            if masks:
                masks[0].mask = mask
            else:
                register_parametrization(module, name, FakeSparsity(mask))
            states[path] = {**state, "mask": mask}
        for group in groups:
            group.update(get_arg_info_from_tensor_fqn(self.model, group["tensor_fqn"]))
        self.__setstate__({"state": states, "groups": groups})

    @staticmethod
    def _masks(module: Any, name: str) -> list[Any]:
        lists = getattr(module, "parametrizations", {})
        return list(lists[name]) if name in lists else []

    def make_config_from_model(self, model: Module, SUPPORTED_MODULES: set[type[Module]] = SUPPORTED_MODULES) -> None:
        """Set `config` to the weights of all layers of these classes."""
        kinds = tuple(SUPPORTED_MODULES)
        self.config = [
            {"tensor_fqn": f"{name}.weight" if name else "weight"}
            for name, module in model.named_modules()
            if type_before_parametrizations(module) in kinds
        ]

    def prepare(self, model: Module, config: Any) -> None:
        """Mask the tensors that `config` names, in place: a list of dicts with `tensor_fqn` and settings; None for all
        linear layers' weights."""
        self.model = model
        if config is None:
            self.make_config_from_model(model)
        else:
            self.config = config
        for given in self.config:
            if not isinstance(given, dict):
                raise AssertionError(
                    "config elements should be dicts not modules i.e.:"
                    "[{`tensor_fqn`: `foo.bar.weight`}, {`tensor_fqn`: ... }, ...]"
                )
            path = given.get("tensor_fqn")
            if path is None:
                raise AssertionError(
                    "tensor_fqn is a required argument in the sparsity config which replaces previous `module` and "
                    "[module]`fqn` arguments"
                )
            info = get_arg_info_from_tensor_fqn(model, path)
            if info["module"] is None:
                raise AttributeError(f"the model has no {path!r}: its modules are those of model.named_modules()")
            self.groups.append({**copy.deepcopy(self.defaults), **given, **info})
        self._prepare()

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        for group in self.groups:
            module, name = group["module"], group["tensor_name"]
            made = group.get("parametrization", FakeSparsity)
            mask = group.get("mask")
            if mask is None:
                mask = ones_like(getattr(module, name).detach())
            self.state[group["tensor_fqn"]]["mask"] = mask
            register_parametrization(module, name, made(mask))

    def squash_mask(
        self,
        params_to_keep: tuple[str, ...] | None = None,
        params_to_keep_per_layer: dict[str, tuple[str, ...]] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Make the masked tensors parameters again, zeros in place; the settings that are named stay on their modules, as
        `sparse_params`."""
        for group in self.groups:
            module, path = group["module"], group["module_fqn"]
            remove_parametrizations(module, group["tensor_name"], leave_parametrized=True)
            names = [*(params_to_keep or ()), *(params_to_keep_per_layer or {}).get(path, ())]
            if names:
                module.sparse_params = {name: group[name] for name in names}

    def convert(
        self,
        module: Module,
        mapping: dict[type[Module], type[Module]] | None = None,
        inplace: bool = False,
        parameterization: type[Module] = FakeSparsity,
    ) -> Module:
        """The model with masked modules swapped for what `mapping` has for their classes, by `from_dense`."""
        if mapping is None:
            raise NotImplementedError("BaseSparsifier.convert needs mapping=: which class takes the place of which")
        if not inplace:
            module = copy.deepcopy(module)
        for name, child in list(module.named_children()):
            if module_contains_param(child, parameterization) and type_before_parametrizations(child) in mapping:
                setattr(module, name, swap_module(child, mapping))
            else:
                setattr(module, name, self.convert(child, mapping, True, parameterization))
        return module

    def step(self, use_path: bool = True) -> None:
        """Compute all masks anew, unless `enable_mask_update` is False."""
        if not self.enable_mask_update:
            return
        with no_grad():
            for group in self.groups:
                self.update_mask(**group)

    @abc.abstractmethod
    def update_mask(self, module: Module, tensor_name: str, **kwargs: Any) -> None:
        """Write the mask of one tensor."""

    def _set_mask(self, module: Any, name: str, path: str | None, mask: Any) -> None:
        """Give a tensor another mask, in the model and in the state."""
        module.parametrizations[name][0].mask = mask
        if path is not None:
            self.state[path]["mask"] = mask
