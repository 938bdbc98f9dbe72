"""`Module`: what it holds, how it is called, how it is walked through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, overload

from ...core.context import doors
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import structure
from ...core.tensor.tensor import Tensor
from ..parameter import Buffer, Parameter
from . import _hooks
from ._called import _P, _R, HasForward, Unseen
from ._conversion import ConversionMethods
from ._direct_calls import HOOK_TABLES, watch, without_watch
from ._errors import locate, no_forward, shapes_of
from ._hooks import (  # noqa: F401  (packages look at the table of hooks)
    HookMethods,
    _global_parameter_registration_hooks,
    _WrappedHook,
    global_call_hooks,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from ._members import MemberMethods, forget, fresh_state, is_member, kind_of, not_initialised
from ._printing import tree
from ._state import EXTRA_STATE as _EXTRA_STATE_KEY_SUFFIX  # noqa: F401
from ._state import StateMethods, _IncompatibleKeys

if TYPE_CHECKING:
    from .._unseen import Closed, Exactly, NoSuchAttribute, Open

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

for _shared in (_WrappedHook, _IncompatibleKeys):
    _shared.__module__ = __name__  # where PyTorch's pickles look for them


_STATE_NAMES = frozenset(fresh_state())


def _instead(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, Module):
        return f": this is the class, {value.__name__}(...) makes a module"
    if isinstance(value, (list, tuple)) and any(isinstance(v, Module) for v in value):
        return ": unpack it (*layers)"
    return ""


class Module(MemberMethods, HookMethods, StateMethods, ConversionMethods):
    """The base class of all networks and layers.

    A subclass calls `super().__init__()`, assigns its parameters, buffers and child modules to attributes, and defines
    `forward`. Instances are called like functions.
    """

    dump_patches = False
    training: bool
    call_super_init = False
    _compiled_call_impl: Any = None
    T_destination = dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument {next(iter(kwargs))!r}"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
                )
        self.__dict__.update(fresh_state())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # --- the call -----------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:
        forward: Callable[..., Any]  # a subclass's has its own arguments

        def __call__(self: HasForward[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R: ...  # type: ignore[empty-body]

    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            own = self.__dict__
            try:
                if (
                    own["_forward_hooks"]
                    or own["_forward_pre_hooks"]
                    or own["_backward_hooks"]
                    or own["_backward_pre_hooks"]
                    or global_call_hooks
                    or grad_state.trace is not None
                    or grad_state.regional is not None
                    or "_compiled_call_impl" in own
                ):
                    return _hooks.call(self, args, kwargs)
                return self.forward(*args, **kwargs)
            except Exception as error:
                if "_forward_hooks" not in own:
                    raise not_initialised(
                        self, f"{type(self).__name__!r} object has no attribute '_backward_hooks'"
                    ) from None
                locate(error, self, shapes_of(args, kwargs), (*args, *kwargs.values()))
                raise

        def forward(self, *input: Any) -> Any:
            """What the module computes; every subclass defines it."""
            raise no_forward(self)

    _call_impl = __call__

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """From now on, run the module's calls as compiled programs; the arguments are those of `torch.compile`."""
        self.__dict__["_compiled_call_impl"] = doors.compile(self._call_plainly, *args, **kwargs)

    def _call_plainly(self, *args: Any, **kwargs: Any) -> Any:
        return _hooks.call(self, args, kwargs, plainly=True)

    # --- attributes ---------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:
        # Of what is only known to be a module, attributes may be anything. A class tells its own by assigning them;
        # what it has besides is registered by name, and is a tensor first of all: so it can't be called or counted with.
        _kind: list[Self]
        # what `prune`, `weight_norm`, `spectral_norm` and `parametrize` add to whatever layer they are given
        weight_orig: Parameter
        weight_mask: Tensor
        weight_g: Parameter
        weight_v: Parameter
        weight_u: Tensor
        bias_orig: Parameter
        bias_mask: Tensor
        parametrizations: Any

        @overload
        def _unseen(self: Open) -> Any: ...
        @overload
        def _unseen(self: Closed) -> NoSuchAttribute: ...  # type: ignore[misc]
        @overload
        def _unseen(self) -> Tensor | Any: ...  # type: ignore[overload-cannot-match]
        def _unseen(self) -> Any: ...
        def __getitem__(self: Exactly[Module], key: Any) -> Any: ...  # as a child of a container may have it

    def __getattr__(self: Unseen[_R], name: str) -> _R:
        own = self.__dict__
        cls = type(self)
        if "_modules" in own:
            # written out, since every layer's forward comes here
            if name in own["_parameters"]:
                return own["_parameters"][name]
            if name in own["_modules"]:
                found = own["_modules"][name]
                if grad_state.trace is not None and found is not None:
                    grad_state.trace.reached[self] = grad_state.trace.reached[found] = None
                return found
            if name in own["_buffers"]:
                return own["_buffers"][name]
        elif name in _STATE_NAMES:
            raise not_initialised(self, f"'{cls.__name__}' object has no attribute '{name}'")
        if hasattr(cls, name):
            # it is there: a property's own code raised. Its error says more than that the attribute is missing
            return object.__getattribute__(self, name)
        raise AttributeError(f"'{cls.__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        structure.version += 1
        if grad_state.trace is not None and "_buffers" in own:
            grad_state.trace.keep_entry(self, name, value)
        if "_modules" not in own:
            self._set_before_init(name, value)
        elif isinstance(value, Tensor):
            if isinstance(value, Parameter):
                forget(own, name, keep="_parameters")
                self.register_parameter(name, value)
            elif isinstance(value, Buffer) and not is_member(own, name):
                self.register_buffer(name, value, value.persistent)
            else:
                self._set_member(own, name, value)
        elif isinstance(value, Module):
            if name in own["_parameters"]:
                self._set_member(own, name, value)  # refuses
            forget(own, name, keep="_modules")
            own["_modules"][name] = registered(_hooks._global_module_registration_hooks, self, name, value)
        elif is_member(own, name):
            self._set_member(own, name, value)
        else:
            object.__setattr__(self, name, value)

    def _set_before_init(self, name: str, value: Any) -> None:
        for kind, what in ((Parameter, "parameters"), (Module, "module"), (Buffer, "buffer")):
            if isinstance(value, kind):
                raise not_initialised(self, f"cannot assign {what} before Module.__init__() call")
        object.__setattr__(self, name, value)

    def _set_member(self, own: dict[str, Any], name: str, value: Any) -> None:
        """Assign what is neither a Parameter nor a Module to a name that may be registered."""
        if name in own["_parameters"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{kind_of(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            own["_parameters"][name] = None
        elif name in own["_modules"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{kind_of(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            own["_modules"][name] = registered(_hooks._global_module_registration_hooks, self, name, None)
        elif name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                expected = "torch.nn.Buffer, torch.Tensor or None expected"
                raise TypeError(f"cannot assign '{kind_of(value)}' as buffer '{name}' ({expected})")
            if isinstance(value, Buffer):
                self._set_persistence(name, value.persistent)
            own["_buffers"][name] = registered(_hooks._global_buffer_registration_hooks, self, name, value)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        own = self.__dict__
        structure.version += 1
        if grad_state.trace is not None:
            grad_state.trace.keep_entry(self, name, None)
        for table in ("_parameters", "_buffers", "_modules"):
            if name in own[table]:
                del own[table][name]
                own["_non_persistent_buffers_set"].discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        own = self.__dict__
        names = {
            *dir(type(self)),
            *own,
            *own.get("_parameters", ()),
            *own.get("_buffers", ()),
            *own.get("_modules", ()),
        }
        return sorted(name for name in names if not name[:1].isdigit())

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # what an older version did not save yet gets its default
        self.__dict__.update({**fresh_state(), **self.__dict__, **state})
        if any(self.__dict__[table] for table in HOOK_TABLES):
            watch(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        made = super().__reduce_ex__(protocol)
        return made if isinstance(made, str) or len(made) < 3 else (*made[:2], without_watch(made[2]), *made[3:])

    # --- registration -------------------------------------------------------------------------------------------------

    def add_module(self, name: str, module: Module | None) -> None:
        """Make `module` the child `name`. KeyError if the name is taken."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{kind_of(module)} is not a Module subclass{_instead(module)}")
        self._check_name("module", name, "_modules")
        self._note_write("_modules", name)
        self._modules[name] = registered(_hooks._global_module_registration_hooks, self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    # --- by path ------------------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The descendant at a dotted path; the module itself for "". AttributeError if there is none."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at a dotted path, whose parent must be there; with `strict`, there must be a module already.

        ValueError if the path is empty or `module` is no Module; AttributeError if the path leads nowhere.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    # --- walks --------------------------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) for the module and its descendants; each once, unless `remove_duplicate` is False."""
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """The module and its descendants."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, child), each child once."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        for _, child in self.named_children():
            yield child

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` on every descendant, then on the module itself."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- modes --------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of the module and its descendants."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """The same as `train(False)`."""
        return self.train(False)

    # --- printing -----------------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What is printed between the parentheses, besides the children."""
        return ""

    def __repr__(self) -> str:
        return tree(self._get_name(), self.extra_repr(), self._modules.items())

    def _repr_html_(self) -> str | None:
        """What a notebook shows: a tree that folds."""
        return doors.html("Module", self)


def _tell_of_one_class() -> None:
    """Errors, `repr` and pickles know the methods as those of `Module`, whatever file they are written in."""
    for part in (MemberMethods, HookMethods, StateMethods, ConversionMethods):
        for name, value in vars(part).items():
            if hasattr(value, "__code__"):
                value.__module__, value.__qualname__ = __name__, f"Module.{name}"


_tell_of_one_class()
