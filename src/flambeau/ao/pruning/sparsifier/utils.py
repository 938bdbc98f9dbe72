"""Finding a module's tensors by their path, and the parametrization that masks them."""

from __future__ import annotations

from typing import Any

from ....core.tensor.tensor import Tensor
from ....nn.modules.module import Module
from ....nn.utils.parametrize import is_parametrized, type_before_parametrizations

__all__ = [
    "FakeSparsity", "fqn_to_module", "get_arg_info_from_tensor_fqn", "module_contains_param", "module_to_fqn", "swap_module",
]  # fmt: skip


class FakeSparsity(Module):
    """A parametrization that multiplies a tensor with `mask`, which is not in the state dict: it is in the sparsifier's."""

    def __init__(self, mask: Tensor):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        mask: Any = self.mask
        if mask.shape != x.shape:
            raise AssertionError(f"mask shape ({mask.shape}) must match x shape ({x.shape})")
        return mask * x


def module_contains_param(module: Module, parametrization: type[Module]) -> bool:
    """Whether a tensor of the module itself has such a parametrization."""
    if not is_parametrized(module):
        return False
    lists: Any = module.parametrizations
    return any(isinstance(one, parametrization) for found in lists.values() for one in found)


def swap_module(mod: Module, mapping: dict[type[Module], type[Module]]) -> Module:
    """What `from_dense` of the class that `mapping` has for the module's makes of it, with its hooks; else the module."""
    kind = type_before_parametrizations(mod)
    if kind not in mapping:
        return mod
    target: Any = mapping[kind]
    made: Module = target.from_dense(mod)
    for hook in mod._forward_pre_hooks.values():
        made.register_forward_pre_hook(hook)
    for hook in mod._forward_hooks.values():
        made.register_forward_hook(hook)
    first = next(iter(mod.parameters()), None)
    return made if first is None else made.to(first.device)


def module_to_fqn(model: Module, module: Module, prefix: str = "") -> str | None:
    """The path of a module within a model; None where it is not in it."""
    return next((prefix + name for name, found in model.named_modules() if found is module), None)


def fqn_to_module(model: Module | None, path: str) -> Any:
    """The module, or tensor, at a path; None where there is none."""
    found: Any = model
    for part in path.split(".") if path else ():
        found = getattr(found, part, None)
    return found


def get_arg_info_from_tensor_fqn(model: Module, tensor_fqn: str) -> dict[str, Any]:
    """A tensor's path taken apart: `module_fqn`, `module`, `tensor_name`, and `tensor_fqn` itself."""
    path, _, name = tensor_fqn.rpartition(".")
    return {"module_fqn": path, "module": fqn_to_module(model, path), "tensor_name": name, "tensor_fqn": tensor_fqn}
