"""`Optimizer`: parameter groups, their state, its dictionary form, and hooks."""

from __future__ import annotations

import functools
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import copy, deepcopy
from typing import Any, ClassVar, TypeAlias, TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.array import ArrayImpl
from jax.sharding import NamedSharding, PartitionSpec

from ..core.array import devices
from ..core.array.meta import MetaArray, evaluate, is_meta
from ..core.autograd.engine import Hooks, RemovableHandle
from ..core.context.grad_mode import enable_grad, set_grad_enabled
from ..core.context.overrides import dispatching
from ..core.context.tracing import recorder, refuse_in_trace, structure
from ..core.dispatch.messages import message
from ..core.tensor.sparse import is_sparse
from ..core.tensor.storage import LaidStorage, PartsStorage, cut_over, laid
from ..core.tensor.tensor import Tensor, blank, wrap
from ..nn.modules._hook_table import HookTable
from ..nn.modules._unregistered import plainly_held, unregistered
from ..nn.modules.module import Module
from ._loading import check_dict, check_parts
from ._reach import WHOLE, lies_in_parts, reach_of

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]


ParamsT: TypeAlias = Iterable[Tensor | dict[str, Any] | tuple[str, Tensor]]
StateDict: TypeAlias = dict[str, Any]
Number: TypeAlias = float | Tensor
_R = TypeVar("_R")


_DUPLICATES = "github.com/pytorch/pytorch/issues/40967"


class _Required:
    """The default of an option that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required: _Required = _Required()


class _OwnHooks(HookTable, Hooks):
    """An optimizer's hooks of a kind, which tell compiled programs of their changes."""


_global_optimizer_pre_hooks = _OwnHooks()
_global_optimizer_post_hooks = _OwnHooks()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before every `step` of every optimizer.

    It returns None or the pair `(args, kwargs)` that the step shall have instead; the first of `args` is the optimizer.
    """
    return _global_optimizer_pre_hooks.add(hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after every `step` of every optimizer."""
    return _global_optimizer_post_hooks.add(hook)


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """What a step's closure gives, with gradients on; None without one."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def full_like(array: Any, value: complex, shape: tuple[int, ...] | None = None, cut: Any = None) -> Any:
    """A constant array of `array`'s dtype and place (and shape). Made on the host: no program is compiled for it.

    `cut` says how `array` is cut over devices, if it is: so is an array of its shape, and others are whole on each.
    """
    shape = array.shape if shape is None else shape
    if type(array) is MetaArray:
        return MetaArray(shape, array.dtype)
    filled = np.full(shape, value, array.dtype) if value else np.zeros(shape, array.dtype)
    if cut is not None:
        place = cut if tuple(shape) == tuple(array.shape) else NamedSharding(cut.mesh, PartitionSpec())
        with jax.ensure_compile_time_eval():
            return devices.spread(filled, place)
    if isinstance(array, jax.core.Tracer):
        return devices.from_numpy(filled)  # a value: state outlives the trace that first needs it
    # bound to a device only if `array` is, since programs are compiled for one or the other
    return devices.from_numpy(filled, array.sharding if array.committed else None)


class Beginnings:
    """`full_like`, where equal arrays are the same one: nothing is written into them, and what has not been read takes no time."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, array: Any, value: complex, shape: tuple[int, ...], cut: Any = None) -> Any:
        if type(array) is not ArrayImpl or cut is not None:
            return full_like(array, value, shape, cut)
        kind = (tuple(shape), array.dtype, value, array.sharding if array.committed else None)
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = full_like(array, value, shape)
        return found


def beside(param: Tensor, array: Any) -> Tensor:
    """A piece of state: in parts, as its parameter is, if it has the parameter's shape."""
    storage = param._storage
    if type(storage) is PartsStorage and tuple(array.shape) == storage.shape:
        return blank(Tensor, storage.beside(array))
    return wrap(array)


def by_mesh(params: list[Tensor]) -> list[list[Tensor]]:
    """The parameters in batches that one program can update: those that are cut over devices, by their mesh and by whether in equal
    parts, and the others. NotImplementedError for one whose class computes for itself."""
    if dispatching and (own := dispatching.intersection(type(t) for p in params for t in (p, p.grad))):
        raise NotImplementedError(
            f"a step of a parameter of class {own.pop().__name__}, which computes by __torch_dispatch__: a step is one program here, "
            "which can't ask it. Give the optimizer the tensors that it holds, or write the update by operators under "
            "torch.no_grad(): p.add_(p.grad, alpha=-lr)"
        )
    if all(type(param._storage) not in (LaidStorage, PartsStorage) for param in params):
        return [params] if params else []
    batches: dict[Any, list[Tensor]] = {}
    for param in params:
        cut = cut_over(param._storage)
        kind = None if cut is None else (cut.mesh, lies_in_parts(param))
        batches.setdefault(kind, []).append(param)
    return list(batches.values())


def step_without_values(program: Any, arrays: Any) -> tuple[Any, Any, Any]:
    """The step of parameters on the meta device: what is shared (the count of steps) has values and is computed."""
    new_params, new_own, _ = evaluate(lambda *given: program(*given, False, None), arrays)
    *tensors, common, scalars = jax.tree.map(
        lambda array: jnp.zeros((0,) * array.ndim, array.dtype) if is_meta(array) else array, arrays
    )
    return new_params, new_own, program(*tensors, common, scalars, False, None)[2]


def _model_of(params: Any) -> Module | None:
    """The module whose `parameters()` or `named_parameters()` this generator is."""
    frame = getattr(params, "gi_frame", None)
    found = None if frame is None else frame.f_locals.get("self")
    return found if isinstance(found, Module) else None


def _why_empty(model: Module | None) -> str:
    if model is None:
        return ""
    for path, proper, _ in unregistered(model):
        return f": {plainly_held(path, proper)}"
    return f": {type(model).__name__} has no parameters"


class Optimizer:
    """Holds parameters in groups, and what the method remembers of each; a subclass gives `step`.

    `params` are tensors, `(name, tensor)` pairs, or dicts with "params" and the options of that group. `defaults` are
    the options of groups that do not give their own; `required` stands for one that each group must give.

    `param_groups` is the list of groups, `state` maps a parameter to a dict. Raises TypeError for parameters that are
    no tensors, ValueError for an empty list, computed tensors, or one that is in two groups.
    """

    begins_alike: ClassVar[bool] = False  # whether a step that begins its state computes what the later ones do

    defaults: dict[str, Any]
    state: defaultdict[Tensor, Any]
    param_groups: list[dict[str, Any]]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._start()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}; wrap it in a list"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        model = _model_of(params)
        if isinstance(params, Module) and not hasattr(type(params), "__iter__"):
            raise TypeError(
                f"'{type(params).__name__}' object is not iterable: give its parameters, model.parameters()"
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list" + _why_empty(model))
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        if model is not None:
            self._look_for_others(model)

    def _look_for_others(self, model: Module) -> None:
        """Warn of parameters that the model holds where `parameters()` does not find them."""
        given = {id(p) for group in self.param_groups for p in group["params"]}
        for path, proper, parameters in unregistered(model):
            if any(p.requires_grad and id(p) not in given for p in parameters):
                text = f"the optimizer does not get all parameters: {plainly_held(path, proper)}"
                warnings.warn(text, stacklevel=_level_of_the_caller())

    def _start(self) -> None:
        """What neither a pickle nor a copy carries along."""
        self._optimizer_step_pre_hooks = _OwnHooks()
        self._optimizer_step_post_hooks = _OwnHooks()
        self._optimizer_state_dict_pre_hooks = _OwnHooks()
        self._optimizer_state_dict_post_hooks = _OwnHooks()
        self._optimizer_load_state_dict_pre_hooks = _OwnHooks()
        self._optimizer_load_state_dict_post_hooks = _OwnHooks()
        self._patch_step_function()

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        structure.version += 1
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._start()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"{chr(10) if i else ''}Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    # --- the step and its hooks -----------------------------------------------------------------------------------

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], _R]) -> _R: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients. `closure` computes the loss anew; its value is returned."""
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """`func`, a class's `step`, with the hooks around it."""

        @functools.wraps(func)
        def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
            if (trace := recorder()) is not None:
                trace.begun.keep_optimizer(self)
            before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
            if not (before or after or _global_optimizer_pre_hooks or _global_optimizer_post_hooks):
                return func(self, *args, **kwargs)
            args = (self, *args)
            for hook in [*_global_optimizer_pre_hooks.values(), *before.values()]:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{func} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
            result = func(*args, **kwargs)
            for hook in [*after.values(), *_global_optimizer_post_hooks.values()]:
                hook(self, args, kwargs)
            return result

        step.hooked = True  # type: ignore[attr-defined]
        return step

    def _patch_step_function(self) -> None:
        self._zero_grad_profile_name = f"Optimizer.zero_grad#{type(self).__name__}.zero_grad"
        step = type(self).step
        if not getattr(step, "hooked", False):
            type(self).step = self.profile_hook_step(step)  # type: ignore[method-assign]

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return new `(args, kwargs)`."""
        return self._optimizer_step_pre_hooks.add(hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return self._optimizer_step_post_hooks.add(hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict` is taken."""
        return _add(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` on a state dict before it is returned; it may return another."""
        return _add(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before one is loaded; it may return another."""
        return _add(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after a state dict was loaded."""
        return _add(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters; with `set_to_none=False`, fill them with zeros instead."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                    continue
                grad = param.grad
                if grad is not None:
                    if grad.grad_fn is not None:
                        grad.detach_()
                    else:
                        grad.requires_grad_(False)
                    if is_sparse(grad):
                        grad.zero_()
                    else:
                        grad._write(full_like(grad._array, 0))

    # --- groups ---------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take up further parameters, `{"params": ..., option: value, ...}`."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a {dict.__name__}, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, Tensor):
            given = [given]
        elif isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        given = list(given)
        names = [item[0] for item in given if isinstance(item, tuple)]
        params = [item[1] if isinstance(item, tuple) else item for item in given]
        param_group["params"] = params
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names

        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}")
            if not self.defaults.get("differentiable") and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(message("group_lacks_option", name=name))
            param_group.setdefault(name, default)
        if len(set(params)) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                f"see {_DUPLICATES} for more information: each is updated as often as it is named",
                stacklevel=3,
            )
        if self.param_groups and ("param_names" in param_group) != ("param_names" in self.param_groups[0]):
            without = "with" if "param_names" in param_group else "without"
            raise ValueError(
                f"all optimizer param groups should be with/without names. "
                f"cannot add param group {without} names to the optimizer"
            )
        known = {param for group in self.param_groups for param in group["params"]}
        if not known.isdisjoint(params):
            raise ValueError(message("parameters_in_two_groups"))
        structure.version += 1
        self.param_groups.append(param_group)
        if (trace := recorder()) is not None:
            trace.begun.undo.append(self.param_groups.pop)

    # --- the dictionary form --------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """The state as plain data: `{"state": {index: {...}}, "param_groups": [{..., "params": [index, ...]}]}`.

        Parameters are numbered in the order of the groups. The tensors are the optimizer's own, not copies.
        """
        refuse_in_trace("looks at all of an optimizer's state (state_dict)")
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        index: dict[Any, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                index.setdefault(param, len(index))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [index[param] for param in group["params"]]
            groups.append(packed)
        state = {index[key] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        result: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over a state dict, this library's or PyTorch's (its tensors converted). Parameters are matched by order.

        State tensors take their parameter's dtype and device ("step" stays as it is). Options of the groups are
        replaced by the loaded ones, except that names of parameters stay if none are loaded. Raises ValueError if the
        groups do not match, KeyError for what is missing; whatever is raised, nothing is changed.
        """
        check_dict(state_dict)
        state_dict = copy(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups = self.param_groups
        check_parts(state_dict, groups)
        saved_groups = deepcopy(state_dict["param_groups"])
        by_index: dict[Any, Tensor] = {}
        for group, saved in zip(groups, saved_groups, strict=True):
            by_index.update(zip(saved["params"], group["params"], strict=True))
            saved["params"] = group["params"]
            if "param_names" in group:
                saved.setdefault("param_names", group["param_names"])
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_index:
                state[by_index[key]] = _fitted(value, by_index[key])
            else:
                state[key] = value
        self._check_loaded(state, saved_groups)
        before = {"state": self.state, "param_groups": self.param_groups}
        try:
            self.__setstate__({"state": state, "param_groups": saved_groups})
        except BaseException:
            self.__dict__.update(before)
            structure.version += 1
            raise
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _check_loaded(self, state: dict[Any, Any], groups: list[dict[str, Any]]) -> None:
        """What a subclass has against a state dict, before any of it is taken over."""


def _add(hooks: Hooks, hook: Any, prepend: bool) -> RemovableHandle:
    handle = hooks.add(hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _fitted(value: Any, param: Tensor, key: Any = None) -> Any:
    """A loaded value with its tensors in the dtype and on the device of the parameter."""
    if isinstance(value, Tensor):
        cut = cut_over(param._storage)
        if key != "step":
            value = value.to(dtype=param.dtype if param.dtype.is_floating_point else None, device=param.device)
        if cut is None or (value.shape != param.shape and not devices.is_far(cut)):
            return value
        if type(param._storage) is PartsStorage and value.shape == param.shape:
            return value if reach_of([param], [value]) is not WHOLE else beside(param, value._array)
        place = cut if value.shape == param.shape else NamedSharding(cut.mesh, PartitionSpec())
        return value if cut_over(value._storage) == place else blank(Tensor, laid(value._array, place))
    if isinstance(value, dict):
        return {k: _fitted(v, param, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_fitted(v, param) for v in value)  # type: ignore[call-arg]
    return value


# --- names that other optimizers are written with --------------------------------------------------------------------


def switched(differentiable: Any) -> bool:
    """Whether a step is recorded; TypeError, in PyTorch's words, for what is neither True nor False."""
    if type(differentiable) is not bool:
        kind = type(differentiable).__name__
        raise TypeError(
            f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {kind} (differentiable={differentiable!r:.80})"
        )
    return differentiable


def _use_grad_for_differentiable(func: Callable[..., Any]) -> Callable[..., Any]:
    """A `step` that records its operators only if the optimizer is `differentiable`."""

    @functools.wraps(func)
    def stepped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with set_grad_enabled(switched(self.defaults.get("differentiable", False))):
            return func(self, *args, **kwargs)

    return stepped


def _default_to_fused_or_foreach(
    params: list[Tensor], differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """(False, False): the one program of a step serves for both, so neither is preferred."""
    return False, False


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """The kinds of devices on which `capturable=True` means something."""
    return ["cuda", "xpu", "hpu", "privateuseone", *(["xla"] if supports_xla else [])]


def check_capturable(group: dict[str, Any], params: list[Tensor], what: str, on_xla: bool | None) -> None:
    """AssertionError for parameters whose steps no graph can capture, unless a program is traced."""
    foreach = bool(group.get("foreach"))
    kinds = _get_capturable_supported_devices(not foreach if on_xla is None else on_xla)
    if group.get("fused") or recorder() is not None or all(param.device.type in kinds for param in params):
        return
    what = what.replace("products and", "products, and") if foreach else what
    raise AssertionError(f"If capturable=True, {what} must be on supported devices: {kinds}.")


def _group_tensors(
    tensorlistlist: list[list[Any]], with_indices: bool = False
) -> dict[tuple[Any, Any], tuple[list[list[Any]], list[int]]]:
    """Lists that go together, split by device and dtype of the first list's tensors; with the places they had."""
    groups: dict[tuple[Any, Any], tuple[list[list[Any]], list[int]]] = {}
    for place, first in enumerate(tensorlistlist[0]):
        lists, places = groups.setdefault((first.device, first.dtype), ([[] for _ in tensorlistlist], []))
        for part, given in zip(lists, tensorlistlist, strict=True):
            if given:
                part.append(given[place])
        if with_indices:
            places.append(place)
    return groups


Optimizer._group_tensors_by_device_and_dtype = staticmethod(_group_tensors)  # type: ignore[attr-defined]


def _level_of_the_caller() -> int:
    """The `stacklevel` at which a warning of the function that asks points to the line that makes the optimizer."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(__package__):
        frame, level = frame.f_back, level + 1
    return level
