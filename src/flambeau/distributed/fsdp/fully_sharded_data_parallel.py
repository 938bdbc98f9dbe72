"""The older wrapper of sharded training, over the same machinery as `fully_shard`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...core.context.grad_mode import no_grad
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...nn.modules.module import Module
from ...nn.parallel.distributed import synchronise
from ...nn.utils.clip_grad import clip_grad_norm_
from ...processes import groups
from .._holder import Holder, inner_names, renamed
from ..checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict
from ..device_mesh import DeviceMesh
from ..tensor import layouts
from ..tensor.dtensor import full_tensor
from ..tensor.placement_types import Replicate
from .api import *  # noqa: F403
from .api import (
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    LocalOptimStateDictConfig,
    LocalStateDictConfig,
    MixedPrecision,
    MixedPrecisionPolicy,
    OptimStateDictConfig,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)
from .sharding import Unit, all_devices, attach
from .wrap import CustomPolicy

_HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)


class _Wrapper:
    """Wraps the modules within that a policy names, and those of the classes that have no part in mixed precision."""

    def __init__(self, policy: Any, mixed: MixedPrecision | None, ignored: set[int], settings: dict[str, Any]):
        self.policy = policy._policy if isinstance(policy, CustomPolicy) else policy
        self.apart = tuple(mixed._module_classes_to_ignore) if mixed is not None else ()
        self.ignored, self.settings = ignored, settings

    def says(self, module: Module, recurse: bool, size: int) -> Any:
        """Whether a module is wrapped, or looked into; settings of its own may be said, too."""
        if isinstance(module, self.apart):
            return recurse or {"mixed_precision": None}
        found = self.policy(module=module, recurse=recurse, nonwrapped_numel=size)
        return found or (recurse and any(isinstance(part, self.apart) for part in module.modules()))

    def within(self, module: Module) -> int:
        """Gives how many numbers the parameters of those have."""
        count = 0
        for name, child in list(module.named_children()):
            if id(child) in self.ignored or isinstance(child, FullyShardedDataParallel):
                continue
            size = sum(p.numel() for p in child.parameters())
            if not self.says(child, True, size):
                continue
            inner = self.within(child)
            found = self.says(child, False, size - inner)
            if found or isinstance(found, dict):
                own = found if isinstance(found, dict) else {}
                setattr(module, name, FullyShardedDataParallel(child, **{**self.settings, **own}))
                inner = size
            count += inner
        return count

    def __call__(self, module: Module) -> None:
        if any(isinstance(part, FullyShardedDataParallel) for part in module.modules()):
            name = next(n for n, part in module.named_modules() if isinstance(part, FullyShardedDataParallel))
            raise ValueError(
                f"FSDP auto wrapping requires modules to not already have FSDP applied but found {name} in"
            )
        kinds = {type(part) for part in module.modules() if isinstance(part, self.apart)}
        if kinds:
            warnings.warn(message("mixed_precision_apart", kinds=kinds), stacklevel=4)
        self.within(module)


def _filled(module: Module, init: Callable[[Module], None] | None) -> None:
    """Give parameters on the meta device values: by `init`, or each module's `reset_parameters`."""
    for part in module.modules():
        if not any(t is not None and t.is_meta for t in (*part._parameters.values(), *part._buffers.values())):
            continue
        if init is not None:
            init(part)
            continue
        part.to_empty(device="cpu", recurse=False)
        part.reset_parameters()  # type: ignore[operator]


def _look_at_ignored(modules: Any, states: Any) -> None:
    if modules is not None and states is not None:
        raise ValueError(message("ignored_twice"))
    for name, given, kinds, what in (
        ("ignored_modules", modules, (Module,), "nn.Module list elements"),
        ("ignored_states", states, (Module, Tensor), "all nn.Parameter or all nn.Module list elements"),
    ):
        wrong = [type(one) for one in given or () if not isinstance(one, kinds)]
        if wrong:
            raise ValueError(f"{name} expects {what} but got types {wrong}")


def _mesh(given: Any, group: Any, strategy: ShardingStrategy) -> DeviceMesh:
    if strategy in _HYBRID and (given is None or given.ndim != 2):
        raise NotImplementedError(
            f"FullyShardedDataParallel({strategy}): give device_mesh= of two sides, (copies, parts)"
        )
    if given is not None:
        return given
    several = groups.is_initialized() and groups.get_world_size() > 1
    return DeviceMesh.from_group(groups.chosen(group), "cpu") if several and group is not None else all_devices()


class FullyShardedDataParallel(Holder):
    """Holds `module`, whose parameters are cut over the processes; its forward gathers them, its backward leaves the mean of all
    processes' gradients, cut.

    `auto_wrap_policy` says which modules within are wrapped on their own. `sharding_strategy` says what is cut (`NO_SHARD`:
    nothing), `mixed_precision` what is computed with. When parts are fetched and freed (`backward_prefetch`, `forward_prefetch`,
    `limit_all_gathers`), and `use_orig_params` (it is always so), change no number and are taken. NotImplementedError for
    `cpu_offload` beside the CPU.
    """

    _held = "_fsdp_wrapped_module"

    def __init__(
        self, module: Module, process_group: Any = None, sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None, auto_wrap_policy: Any = None, backward_prefetch: Any = None,
        mixed_precision: MixedPrecision | None = None, ignored_modules: Iterable[Module] | None = None,
        param_init_fn: Callable[[Module], None] | None = None, device_id: Any = None, sync_module_states: bool = False,
        forward_prefetch: bool = False, limit_all_gathers: bool = True, use_orig_params: bool = False,
        ignored_states: Iterable[Any] | None = None, device_mesh: DeviceMesh | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        mesh = _mesh(device_mesh, process_group, strategy)
        if cpu_offload is not None and cpu_offload.offload_params and mesh.device_type != "cpu":
            raise NotImplementedError(
                f"FullyShardedDataParallel(cpu_offload={cpu_offload}): parameters stay on the devices"
            )
        _look_at_ignored(ignored_modules, ignored_states)
        ignored = [*(ignored_modules or ()), *(s for s in ignored_states or () if isinstance(s, Module))]
        left_out = {id(p) for part in ignored for p in part.parameters()}
        left_out |= {id(s) for s in ignored_states or () if isinstance(s, Tensor)}
        _filled(module, param_init_fn)
        if sync_module_states and mesh.several:
            synchronise([*module.parameters(), *module.buffers()], mesh.get_group(mesh.ndim - 1))
        if auto_wrap_policy is not None:
            settings = {
                "sharding_strategy": strategy, "mixed_precision": mixed_precision, "device_mesh": mesh,
                "ignored_states": ignored_states, "ignored_modules": ignored_modules,
            }  # fmt: skip
            _Wrapper(auto_wrap_policy, mixed_precision, {id(part) for part in ignored}, settings)(module)
        for one in module.modules():
            if isinstance(one, FullyShardedDataParallel):
                one._is_root = False
        self._is_root: bool = True
        self._fsdp_wrapped_module = module
        self.sharding_strategy: ShardingStrategy = strategy
        self.mixed_precision: MixedPrecision = mixed_precision or MixedPrecision()
        self._settings = _settings_of(StateDictType.FULL_STATE_DICT, None, None)
        own = self.mixed_precision
        if own.buffer_dtype is not None and any(b.is_floating_point() for b in module.buffers()):
            raise NotImplementedError(
                f"MixedPrecision(buffer_dtype={own.buffer_dtype}): buffers stay as they are; cast them yourself, with module.to(...)"
            )
        dtypes = MixedPrecisionPolicy(own.param_dtype, own.reduce_dtype if mesh.several else own.param_dtype)
        whole = (lambda parameter: Replicate()) if strategy is ShardingStrategy.NO_SHARD else None
        again = None if strategy in (ShardingStrategy.FULL_SHARD, ShardingStrategy.HYBRID_SHARD) else False
        attach(module, mesh, dtypes, left_out, whole, again)
        self._register_state_dict_hook(_given_out)
        self.register_load_state_dict_pre_hook(inner_names)

    @property
    def module(self) -> Module:
        """The module."""
        return self._fsdp_wrapped_module

    @property
    def _own(self) -> Unit:
        return vars(self._fsdp_wrapped_module)["_unit"]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._fsdp_wrapped_module(*args, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Taken: each backward pass averages its gradients, and the sum of means is the mean of sums."""
        yield

    def check_is_root(self) -> bool:
        """Whether it is in no other one."""
        return self._is_root

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """Scale all gradients down to a norm of at most `max_norm`; gives the norm that they had. RuntimeError for a module within."""
        if not self._is_root:
            raise RuntimeError("`clip_grad_norm_()` should only be called on the root FSDP instance")
        return whole_of(clip_grad_norm_(self.parameters(), max_norm, norm_type))

    @staticmethod
    def fsdp_modules(module: Module, root_only: bool = False) -> list[Any]:
        """The wrapped modules within; with `root_only` those that are in no other."""
        found = [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]
        inner = {id(m) for one in found for m in one.modules() if m is not one}
        return [m for m in found if not root_only or id(m) not in inner]

    @staticmethod
    def set_state_dict_type(
        module: Module,
        state_dict_type: StateDictType,
        state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> StateDictSettings:
        """Say what state dicts of the wrapped modules within hold; gives what was said before. NotImplementedError for
        `LOCAL_STATE_DICT`."""
        if state_dict_type is StateDictType.LOCAL_STATE_DICT:
            raise NotImplementedError(
                "LOCAL_STATE_DICT: take SHARDED_STATE_DICT, whose tensors are parts, or FULL_STATE_DICT"
            )
        made = _settings_of(state_dict_type, state_dict_config, optim_state_dict_config)
        found = FullyShardedDataParallel.fsdp_modules(module)
        before = found[0]._settings if found else _NONE
        for one in found:
            one._settings = made
        return before

    @staticmethod
    @contextlib.contextmanager
    def state_dict_type(
        module: Module,
        state_dict_type: StateDictType,
        state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> Iterator[None]:
        """The same for what stands inside."""
        change = FullyShardedDataParallel.set_state_dict_type
        before = change(module, state_dict_type, state_dict_config, optim_state_dict_config)
        try:
            yield
        finally:
            if before is not _NONE:
                change(module, before.state_dict_type, before.state_dict_config, before.optim_state_dict_config)

    @staticmethod
    def get_state_dict_type(module: Module) -> StateDictSettings | None:
        """What state dicts of the wrapped modules within hold; None where there are none."""
        found = FullyShardedDataParallel.fsdp_modules(module)
        return found[0]._settings if found else None

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(
        module: Module, recurse: bool = True, writeback: bool = True, rank0_only: bool = False, offload_to_cpu: bool = False,
        with_grads: bool = False,
    ) -> Iterator[None]:  # fmt: skip
        """The parameters are whole inside, with `with_grads` their gradients, too. With `writeback`, what was written to them stays;
        each process keeps its part of it. NotImplementedError for that with `rank0_only`."""
        if writeback and rank0_only:
            raise NotImplementedError("writeback=True and rank0_only=True is not supported yet")
        found = FullyShardedDataParallel.fsdp_modules(module)
        units = [one._own for one in (found if recurse else found[:1]) if one._own.mesh.several]
        with no_grad():
            for unit in units:
                unit.unshard()
                if with_grads:
                    _put_gradients(unit)
        try:
            yield
        finally:
            with no_grad():
                for unit in units:
                    for (owner, name), *_ in unit.owners if writeback else ():
                        _write_back(unit, owner, name)
                    unit.reshard()

    @staticmethod
    def optim_state_dict(
        model: Module, optim: Any, optim_state_dict: dict[str, Any] | None = None, group: Any = None
    ) -> dict[str, Any]:
        """An optimizer's state by the names of the model's parameters, as the model's state dicts are: whole, or cut."""
        settings = FullyShardedDataParallel.get_state_dict_type(model)
        if settings is None:
            raise ValueError("optim_state_dict: there is no FullyShardedDataParallel within the model")
        full = settings.state_dict_type is StateDictType.FULL_STATE_DICT
        first = full and getattr(settings.optim_state_dict_config, "rank0_only", False)
        return get_optimizer_state_dict(model, optim, options=StateDictOptions(full_state_dict=full, cpu_offload=first))

    @staticmethod
    def full_optim_state_dict(
        model: Module, optim: Any, optim_input: Any = None, rank0_only: bool = True, group: Any = None
    ) -> dict[str, Any]:
        """The whole state, in the first process alone with `rank0_only`."""
        return get_optimizer_state_dict(
            model, optim, options=StateDictOptions(full_state_dict=True, cpu_offload=rank0_only)
        )

    @staticmethod
    def optim_state_dict_to_load(
        model: Module, optim: Any, optim_state_dict: dict[str, Any], is_named_optimizer: bool = False, load_directly: bool = False,
        group: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """What `optim.load_state_dict` takes for a state by names."""
        numbers = {name: i for i, name in enumerate(n for g in optim_state_dict["param_groups"] for n in g["params"])}
        made = {
            "state": {numbers[name]: own for name, own in optim_state_dict["state"].items()},
            "param_groups": [
                {**g, "params": [numbers[n] for n in g["params"]]} for g in optim_state_dict["param_groups"]
            ],
        }
        if load_directly:
            optim.load_state_dict(made)
        return made


def whole_of(tensor: Tensor) -> Tensor:
    """All of a tensor that may be cut."""
    return tensor if layouts.sharding_of(tensor) is None else full_tensor(tensor)


def _write_back(unit: Unit, owner: Module, name: str) -> None:
    assert unit.held is not None
    number = next(i for i, owners in enumerate(unit.owners) if owners[0] == (owner, name))
    cut, whole = unit.held[number], owner._parameters[name]
    cut.detach().copy_(whole.detach())
    if cut.grad is not None and whole.grad is not None:
        cut.grad.copy_(whole.grad)


def _put_gradients(unit: Unit) -> None:
    """Give whole parameters whole gradients."""
    assert unit.held is not None
    for cut, ((owner, name), *_) in zip(unit.held, unit.owners, strict=True):
        if cut.grad is not None:
            owner._parameters[name].grad = whole_of(cut.grad.detach()).clone()


_NONE: Any = StateDictSettings(None, None, None)  # type: ignore[arg-type]
_CONFIGS: dict[StateDictType, tuple[Any, Any]] = {
    StateDictType.FULL_STATE_DICT: (FullStateDictConfig, FullOptimStateDictConfig),
    StateDictType.LOCAL_STATE_DICT: (LocalStateDictConfig, LocalOptimStateDictConfig),
    StateDictType.SHARDED_STATE_DICT: (ShardedStateDictConfig, ShardedOptimStateDictConfig),
}


def _settings_of(kind: StateDictType, config: Any, of_optimizer: Any) -> StateDictSettings:
    """Settings, the usual ones of their kind where none are given. RuntimeError for those of another kind."""
    wanted, of_optimizers = _CONFIGS[kind]
    for name, given, expected in (
        ("state_dict_config", config, wanted), ("optim_state_dict_config", of_optimizer, of_optimizers)
    ):  # fmt: skip
        if given is not None and type(given) is not expected:
            raise RuntimeError(f"Expected {name} of type {expected} but got {type(given)}")
    return StateDictSettings(kind, config or wanted(), of_optimizer or of_optimizers())


def _given_out(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """A state dict without our names, with what the settings ask for."""
    settings = module._settings
    config, first = settings.state_dict_config, not groups.is_initialized() or groups.get_rank() == 0
    full = settings.state_dict_type is StateDictType.FULL_STATE_DICT
    for name in renamed(module, state, prefix):
        value = state[name]
        if full and isinstance(value, Tensor):
            with no_grad():
                state[name] = whole_of(value.detach())  # with all processes, also where it is left out
        if not first and full and getattr(config, "rank0_only", False):
            del state[name]
