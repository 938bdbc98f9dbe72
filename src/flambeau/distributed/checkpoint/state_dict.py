"""State dicts of models and optimizers by their parameters' full names. With one process they are the objects' own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...nn.parallel.distributed import DistributedDataParallel

__all__ = [
    "StateDictOptions", "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict", "set_model_state_dict",
    "set_optimizer_state_dict", "set_state_dict",
]  # fmt: skip


@dataclass
class StateDictOptions:
    """How they are made."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


def _plain(model: Any) -> Callable[[str], str]:
    """A function that takes the `module.` of DistributedDataParallel out of a name, so that it says the same with and without."""
    wrapped = [
        f"{path}." if path else "" for path, m in model.named_modules() if isinstance(m, DistributedDataParallel)
    ]

    def plain(name: str) -> str:
        for path in sorted(wrapped, key=len, reverse=True):
            if name.startswith(f"{path}module."):
                name = path + name.removeprefix(f"{path}module.")
        return name

    return plain


def _names(model: Any) -> dict[int, str]:
    plain = _plain(model)
    return {id(parameter): plain(name) for name, parameter in model.named_parameters()}


def get_model_state_dict(
    model: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The model's state dict; with `ignore_frozen_params` without what needs no gradient."""
    options = options or StateDictOptions()
    frozen = (
        {name for name, p in model.named_parameters() if not p.requires_grad} if options.ignore_frozen_params else set()
    )
    plain = _plain(model)
    state = {plain(name): value for name, value in model.state_dict().items() if name not in frozen}
    return {name: value.cpu() if options.cpu_offload else value for name, value in state.items()}


def set_model_state_dict(
    model: Any, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> Any:
    """Load it."""
    plain = _plain(model)
    full = {plain(name): name for name in model.state_dict()}
    own = {full.get(name, name): value for name, value in model_state_dict.items()}
    return model.load_state_dict(own, strict=(options or StateDictOptions()).strict)


def _listed(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]


def get_optimizer_state_dict(
    model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The optimizers' state, by the names of the model's parameters."""
    if (options or StateDictOptions()).flatten_optimizer_state_dict:
        raise NotImplementedError("get_optimizer_state_dict: flatten_optimizer_state_dict is not there; leave it out")
    names, state, groups = _names(model), {}, []
    for optimizer in _listed(optimizers):
        held = optimizer.state_dict()
        for group, numbers in zip(optimizer.param_groups, held["param_groups"], strict=True):
            own = [names[id(parameter)] for parameter in group["params"]]
            state.update(
                {n: held["state"][i] for n, i in zip(own, numbers["params"], strict=True) if i in held["state"]}
            )
            groups.append({**numbers, "params": own})
    return {"state": state, "param_groups": groups}


def set_optimizer_state_dict(
    model: Any, optimizers: Any, optim_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> None:
    """Load it."""
    names, by_first = _names(model), {tuple(g["params"]): g for g in optim_state_dict["param_groups"]}
    for optimizer in _listed(optimizers):
        held = optimizer.state_dict()
        state, groups = {}, []
        for group, numbers in zip(optimizer.param_groups, held["param_groups"], strict=True):
            own = [names[id(parameter)] for parameter in group["params"]]
            given = by_first.get(tuple(own), {})
            groups.append({**numbers, **{k: v for k, v in given.items() if k != "params"}})
            state.update(
                {
                    i: optim_state_dict["state"][n]
                    for n, i in zip(own, numbers["params"], strict=True)
                    if n in optim_state_dict["state"]
                }
            )
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def get_state_dict(
    model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both."""
    return get_model_state_dict(model, options=options), get_optimizer_state_dict(model, optimizers, options=options)


def set_state_dict(
    model: Any,
    optimizers: Any,
    *,
    model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> Any:
    """Load both."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
