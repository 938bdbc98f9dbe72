"""What a module holds of its own: parameters and buffers, put in, found and walked through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import structure
from ...core.tensor.tensor import Tensor
from ..parameter import Parameter
from . import _hooks
from ._hook_table import HookTable
from ._hooks import registered


def not_initialised(module: Any, what: str) -> AttributeError:
    return AttributeError(f"{what}: call super().__init__() first in {type(module).__name__}.__init__")


def kind_of(value: Any) -> str:
    """A value's type, as the messages name it."""
    if isinstance(value, Tensor):
        return value.type()  # type: ignore[attr-defined]
    cls = value if isinstance(value, type) else type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def is_member(own: dict[str, Any], name: str) -> bool:
    return name in own["_parameters"] or name in own["_buffers"] or name in own["_modules"]


def forget(own: dict[str, Any], name: str, keep: str = "") -> None:
    """Remove what a module has under a name that is about to be registered, except in the table `keep`."""
    own.pop(name, None)
    for table in ("_parameters", "_buffers", "_modules"):
        if table != keep and name in own[table]:
            del own[table][name]
            own["_non_persistent_buffers_set"].discard(name)


class MemberMethods:
    """The methods of Module that have to do with its parameters and buffers."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    if TYPE_CHECKING:  # of Module

        def get_submodule(self, target: str) -> Any: ...
        def named_modules(
            self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True
        ) -> Iterator[tuple[str, Any]]: ...

    # --- putting in ---------------------------------------------------------------------------------------------------

    def _check_name(self, kind: str, name: Any, table: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {kind_of(name)}")
        own = self.__dict__
        if table not in own:
            raise not_initialised(self, f"cannot assign {kind} before Module.__init__() call")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in own[table] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def _note_write(self, table: str, name: str) -> None:
        structure.version += 1
        if grad_state.trace is not None:
            grad_state.trace.keep_table(self, table, name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make `param` the parameter `name`; None is a parameter that is left out. KeyError if the name is taken."""
        self._check_name("parameter", name, "_parameters")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{kind_of(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign a non-leaf Tensor to parameter '{name}': parameters are made explicitly. To have "
                    f"'{name}' computed from another Tensor, compute the value in the forward() method."
                )
            param = registered(_hooks._global_parameter_registration_hooks, self, name, param)
        if self._parameters.get(name) is not param or param is None:
            self._note_write("_parameters", name)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` the buffer `name`: part of the module's state, but no parameter. KeyError if the name is taken.

        With `persistent=False` it stays out of the state dict.
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{kind_of(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._note_write("_buffers", name)
        self._buffers[name] = registered(_hooks._global_buffer_registration_hooks, self, name, tensor)
        self._set_persistence(name, persistent)

    def _set_persistence(self, name: str, persistent: bool) -> None:
        change = self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add
        change(name)

    # --- by path ------------------------------------------------------------------------------------------------------

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path. AttributeError if there is none."""
        module, name = self._member(target)
        param = getattr(module, name)
        if not isinstance(param, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path. AttributeError if there is none."""
        module, name = self._member(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return module._buffers[name]

    def _member(self, target: str) -> tuple[Any, str]:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return module, name

    # --- walks --------------------------------------------------------------------------------------------------------

    def _named_members(
        self,
        get_members_fn: Callable[[Any], Iterable[tuple[str, Any]]],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """(path, value) for the pairs that `get_members_fn` gives for each module, None left out."""
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in get_members_fn(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) for all parameters, or only the module's own if `recurse` is False."""
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) for all buffers, or only the module's own if `recurse` is False."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # --- gradients ----------------------------------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zeros if `set_to_none` is False."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                zeroed: Any = param.grad.detach()
                param.grad = zeroed.zero_()


def fresh_state() -> dict[str, Any]:
    """The attributes that every module has, under PyTorch's names and in its order (pickles are interchangeable)."""
    return {
        "training": True,
        "_parameters": {},
        "_buffers": {},
        "_non_persistent_buffers_set": set(),
        "_backward_pre_hooks": HookTable(),
        "_backward_hooks": HookTable(),
        "_is_full_backward_hook": None,
        "_forward_hooks": HookTable(),
        "_forward_hooks_with_kwargs": HookTable(),
        "_forward_hooks_always_called": HookTable(),
        "_forward_pre_hooks": HookTable(),
        "_forward_pre_hooks_with_kwargs": HookTable(),
        "_state_dict_hooks": HookTable(),
        "_state_dict_pre_hooks": HookTable(),
        "_load_state_dict_pre_hooks": HookTable(),
        "_load_state_dict_post_hooks": HookTable(),
        "_modules": {},
    }
