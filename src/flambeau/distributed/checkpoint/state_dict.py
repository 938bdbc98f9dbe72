"""State dicts of models and optimizers by their parameters' full names, as they lie on a mesh or whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...core.context.grad_mode import no_grad
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import _IncompatibleKeys
from ...nn.parallel.distributed import DistributedDataParallel
from ...ops.making.constants import empty, zeros_like
from ...processes import groups
from ...processes.collectives import broadcast
from ...processes.objects import broadcast_object_list
from ..tensor import layouts
from ..tensor.dtensor import DTensor, distribute_tensor, full_tensor

__all__ = [
    "FQNS_T",
    "DictValueType",
    "ListDictValueType",
    "OptimizerStateType",
    "PrimitiveType",
    "StateDictOptions",
    "ValueType",
    "get_model_state_dict",
    "get_optimizer_state_dict",
    "get_state_dict",
    "set_model_state_dict",
    "set_optimizer_state_dict",
    "set_state_dict",
]  # fmt: skip

FQNS_T = set[str]
PrimitiveType = DTensor | Tensor | int | float | str
ValueType = PrimitiveType | list[PrimitiveType] | tuple[PrimitiveType] | dict[str, "ValueType"]
DictValueType = dict[str, ValueType]
ListDictValueType = list[DictValueType]
OptimizerStateType = dict[str, DictValueType | ListDictValueType]


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


def _checked(options: StateDictOptions | None) -> StateDictOptions:
    """The options, or the usual ones. ValueError for one process's values that are no whole tensors."""
    chosen = options or StateDictOptions()
    if chosen.broadcast_from_rank0 and not chosen.full_state_dict:
        raise ValueError("full_state_dict must be True when broadcast_from_rank0 is True.")
    return chosen


def _plain(model: Any) -> Callable[[str], str]:
    """A function that takes the `module.` of DistributedDataParallel out of a name, so that it says the same with and without."""
    wrapped = [
        f"{path}." if path else "" for path, m in model.named_modules() if isinstance(m, DistributedDataParallel)
    ]

    def plain(name: str) -> str:
        for path in sorted(wrapped, key=len, reverse=True):
            if name.startswith(f"{path}module."):
                name = path + name.removeprefix(f"{path}module.")
        return name.replace("_fsdp_wrapped_module.", "").replace("_checkpoint_wrapped_module.", "")

    return plain


def _names(model: Any) -> dict[int, str]:
    plain = _plain(model)
    return {id(parameter): plain(name) for name, parameter in model.named_parameters()}


def _mapped(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """Nested containers with a function of their tensors."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(part, function) for key, part in value.items()}
    return type(value)(_mapped(part, function) for part in value) if type(value) in (list, tuple) else value


def _given_out(value: Any, options: StateDictOptions) -> Any:
    """What `get_state_dict` gives: whole tensors if they are asked for; whole on the CPU, they are in the first process alone."""

    def one(tensor: Tensor) -> Tensor:
        if options.full_state_dict and layouts.sharding_of(tensor) is not None:
            with no_grad():
                tensor = full_tensor(tensor.detach())
        return tensor.cpu() if options.cpu_offload else tensor  # type: ignore[attr-defined]

    made = _mapped(value, one)
    first = not groups.is_initialized() or groups.get_rank() == 0
    return made if first or not (options.full_state_dict and options.cpu_offload) else {}


@dataclass
class _Sent:
    """What stands for a tensor in what is sent before the tensors are."""

    shape: tuple[int, ...]
    dtype: Any


def _from_first(value: Any, options: StateDictOptions) -> Any:
    """The first process's value, in all of them; the processes' own without `broadcast_from_rank0`."""
    if not options.broadcast_from_rank0 or not groups.is_initialized() or groups.get_world_size() == 1:
        return value
    told = [_mapped(value, lambda t: _Sent(tuple(t.shape), t.dtype)) if groups.get_rank() == 0 else None]
    broadcast_object_list(told, 0)

    def take(stands: Any, mine: Any) -> Any:
        if isinstance(stands, _Sent):
            tensor = mine.detach().clone() if mine is not None else empty(stands.shape, dtype=stands.dtype)
            broadcast(tensor, 0)
            return tensor
        if isinstance(stands, dict):
            return {key: take(part, None if mine is None else mine[key]) for key, part in stands.items()}
        if type(stands) in (list, tuple):
            return type(stands)(take(part, None if mine is None else mine[i]) for i, part in enumerate(stands))
        return stands

    return take(told[0], value if groups.get_rank() == 0 else None)


def get_model_state_dict(
    model: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The model's state dict. With `ignore_frozen_params` without what needs no gradient, with `full_state_dict` with whole
    tensors; on the CPU (`cpu_offload`) those are in the first process alone, and the others get an empty dictionary.
    """
    options = _checked(options)
    frozen = (
        {name for name, p in model.named_parameters() if not p.requires_grad} if options.ignore_frozen_params else set()
    )
    plain = _plain(model)
    within = _within(model, submodules)
    state = {plain(name): value for name, value in model.state_dict().items() if name not in frozen and within(name)}
    if submodules and not options.keep_submodule_prefixes:
        prefixes = [f"{path}." for path, part in model.named_modules() if any(part is one for one in submodules)]
        state = {next(n.removeprefix(p) for p in prefixes if n.startswith(p)): value for n, value in state.items()}
    return _given_out(state, options)


def _within(model: Any, submodules: Any) -> Callable[[str], bool]:
    """Whether a name belongs to one of these modules; all do without any."""
    if not submodules:
        return lambda name: True
    prefixes = tuple(f"{path}." for path, part in model.named_modules() if any(part is one for one in submodules))
    return lambda name: name.startswith(prefixes)


def set_model_state_dict(
    model: Any, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> Any:
    """Load it: whole tensors are cut as the model's are. With `broadcast_from_rank0` all take the first process's.

    What is on the meta device is replaced. An empty dict loads nothing, and nothing is missing.
    """
    options, plain = _checked(options), _plain(model)
    if not model_state_dict and not options.broadcast_from_rank0:
        return _IncompatibleKeys([], [])
    targets = model.state_dict()
    full = {plain(name): name for name in targets}
    given = {full.get(name, name): value for name, value in _from_first(model_state_dict, options).items()}
    meta = any(target.is_meta for target in targets.values() if isinstance(target, Tensor))
    if meta:
        given = {name: _laid_as(value, targets.get(name)) for name, value in given.items()}
    return model.load_state_dict(given, strict=options.strict, assign=meta)


def _laid_as(value: Any, target: Any) -> Any:
    """A whole tensor, cut as another is."""
    cut = isinstance(value, Tensor) and isinstance(target, Tensor) and layouts.sharding_of(target) is not None
    if not cut or layouts.sharding_of(value) is not None:
        return value
    return distribute_tensor(value.detach(), target.device_mesh, target.placements, src_data_rank=None)  # type: ignore[attr-defined]


def _listed(optimizers: Any) -> list[Any]:
    found = list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]
    if not found:
        raise RuntimeError(message("optimizers_missing"))
    return found


def _counted(state: dict[str, Any]) -> dict[str, Any]:
    """A parameter's state, numbers of it (how many steps there were) as plain tensors: they are the same in all processes."""

    def one(value: Any) -> Any:
        laid = isinstance(value, Tensor) and not value.ndim and layouts.sharding_of(value) is not None
        return full_tensor(value.detach()) if laid else value

    return {key: one(value) for key, value in state.items()}


def _init_optim_state(optimizer: Any) -> None:
    """Give an optimizer that has made no step the state that it will have, by a step that changes nothing."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if optimizer.state or any(p.grad is not None for p in parameters):
        return
    rates = [group.get("lr") for group in optimizer.param_groups]
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.grad = zeros_like(parameter)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if rate is not None:
            group["lr"] = rate * 0 if isinstance(rate, Tensor) else 0.0
    optimizer.step(closure=None)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if rate is not None:
            group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)


def _flat(held: dict[str, Any]) -> dict[str, Any]:
    made = {f"state.{name}.{key}": value for name, own in held["state"].items() for key, value in own.items()}
    for group in held["param_groups"]:
        for name in group["params"]:
            made |= {f"param_groups.{name}.{key}": value for key, value in group.items() if key != "params"}
    return made


def _unflat(flat: dict[str, Any], optimizer: Any, names: dict[int, str]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    groups_made = []
    for group in optimizer.param_groups:
        own = [names[id(parameter)] for parameter in group["params"]]
        keys = [key for key in group if key != "params"]
        first = own[0] if own else ""
        groups_made.append({"params": own, **{k: flat.get(f"param_groups.{first}.{k}", group[k]) for k in keys}})
        for name in own:
            start = f"state.{name}."
            found = {key.removeprefix(start): value for key, value in flat.items() if key.startswith(start)}
            state |= {name: found} if found else {}
    return {"state": state, "param_groups": groups_made}


def get_optimizer_state_dict(
    model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The optimizers' state, by the names of the model's parameters; whole, if `full_state_dict` asks for it (see
    `get_model_state_dict`). With `flatten_optimizer_state_dict` one dictionary of texts like "state.0.weight.exp_avg".

    An optimizer that has made no step is given its first state.
    """
    options = _checked(options)
    names, state, made_groups = _names(model), {}, []
    within = _within(model, submodules)
    for optimizer in _listed(optimizers):
        _init_optim_state(optimizer)
        held = optimizer.state_dict()
        for group, numbers in zip(optimizer.param_groups, held["param_groups"], strict=True):
            own = [names[id(parameter)] for parameter in group["params"]]
            found = zip(own, numbers["params"], strict=True)
            state.update({n: _counted(held["state"][i]) for n, i in found if i in held["state"] and within(n)})
            made_groups.append({**numbers, "params": [name for name in own if within(name)]})
    made: dict[str, Any] = {"state": state, "param_groups": made_groups}
    return _given_out(_flat(made) if options.flatten_optimizer_state_dict else made, options)


def set_optimizer_state_dict(
    model: Any, optimizers: Any, optim_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> None:
    """Load it: state takes the layout of its parameter. With `broadcast_from_rank0` all take the first process's."""
    options, names = _checked(options), _names(model)
    given = _from_first(optim_state_dict, options)
    for optimizer in _listed(optimizers):
        own_dict = _unflat(given, optimizer, names) if options.flatten_optimizer_state_dict else given
        by_first = {tuple(g["params"]): g for g in own_dict["param_groups"]}
        _init_optim_state(optimizer)
        held = optimizer.state_dict()
        state, made_groups = {}, []
        for group, numbers in zip(optimizer.param_groups, held["param_groups"], strict=True):
            own = [names[id(parameter)] for parameter in group["params"]]
            found = by_first.get(tuple(own), {})
            made_groups.append({**numbers, **{k: v for k, v in found.items() if k != "params"}})
            for name, number in zip(own, numbers["params"], strict=True):
                if name in own_dict["state"]:
                    state[number] = own_dict["state"][name]
        optimizer.load_state_dict({"state": state, "param_groups": made_groups})


def get_state_dict(
    model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both."""
    return (
        get_model_state_dict(model, submodules=submodules, options=options),
        get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options),
    )


def set_state_dict(
    model: Any,
    optimizers: Any,
    *,
    model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> Any:
    """Load both."""
    found = set_model_state_dict(model, model_state_dict, options=options)
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return found
