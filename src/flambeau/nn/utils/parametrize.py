"""Parameters that are computed from others: `module.weight` becomes the result of modules called parametrizations.

A parametrized module has a class of its own, made of the one that it had and a property for each parametrized tensor. What
the tensor is computed from lies in `module.parametrizations`, as parameters or buffers named `original` (or `original0`,
`original1`, ...).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ...core.context.grad_mode import no_grad
from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.help import explain_namespace as _explain
from ...core.tensor.tensor import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """The values of parametrized tensors while someone is inside `cached`."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[Any, Tensor] = {}

    @staticmethod
    def key(module: Module, name: str) -> Any:
        # what was computed in a trace or a transform means nothing outside of it
        return id(grad_state.trace), id(grad_state.transforms), id(module), name


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, when it is first read, also if it is assigned to later."""
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values.clear()


def __getattr__(name: str) -> Any:
    if name == "_cache_enabled":  # how many `cached` one is inside
        return _cache.depth
    raise AttributeError(f"{__name__}: no {name!r} here")


# --- what a tensor is computed from and by ----------------------------------------------------------------------------


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _put(original: Tensor, value: Tensor) -> None:
    """Give a tensor that stays the same object the values, and the shape, of another one."""
    if original is not value:
        with no_grad():
            original.set_(value.detach())  # type: ignore[attr-defined]


def _kind(value: Any) -> str:
    return type(value).__name__


_MAY_NOT_CHANGE = (
    "Registering a parametrization may not change the {} of the tensor, unless {}`unsafe` flag is enabled.\n"
)


def _same(text: str, names: tuple[str, str], before: Tensor, after: Tensor, the: str = "") -> None:
    """ValueError unless dtype and shape are the same."""
    for what in ("dtype", "shape"):
        old, new = getattr(before, what), getattr(after, what)
        if old != new:
            lines = [f"{name.format(what)}: {value}" for name, value in zip(names, (old, new), strict=True)]
            raise ValueError(text.format(what, the) + "\n".join(lines))


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they are applied, and what the first is applied to.

    The first one takes `original`, or `original0, original1, ...` if its `right_inverse` gave several. Calling the list gives
    the parametrized tensor. ValueError, unless `unsafe`, if that has another shape or dtype than the tensor had.
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False):
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            value: Any = original
            for module in reversed(self):  # type: ignore[call-overload]
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        value = module.right_inverse(value)
        if not isinstance(value, (Tensor, Sequence)):
            raise ValueError(
                f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got {_kind(value)}"
            )
        self.is_tensor: bool = isinstance(value, Tensor)
        self.ntensors: int = 1 if self.is_tensor else len(value)
        self._keep(original, value)
        if not unsafe:
            self._check(shape, dtype)

    def _keep(self, original: Tensor, value: Any) -> None:
        if self.is_tensor:
            if original.dtype != value.dtype:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {value.dtype}"
                )
            _put(original, value)
            _register(self, "original", original)
            return
        for i, part in enumerate(value):
            if not isinstance(part, Tensor):
                raise ValueError(
                    f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {i} of the sequence with type {_kind(part)}."
                )
            if isinstance(original, Parameter):
                part = Parameter(part, original.requires_grad)
            _register(self, f"original{i}", part)

    def _check(self, shape: Any, dtype: Any) -> None:
        made = self()
        if not isinstance(made, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {_kind(made)}.")
        for what, old in (("dtype", dtype), ("shape", shape)):
            if old != (new := getattr(made, what)):
                raise ValueError(
                    _MAY_NOT_CHANGE.format(what, "") + f"unparametrized {what}: {old}\nparametrized {what}: {new}"
                )

    def _originals(self) -> list[Any]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Write into the originals what the `right_inverse`s, the last one's first, make of `value`.

        RuntimeError if one of the parametrizations has none; ValueError if they don't give as many tensors, of the same
        dtypes, as there are originals.
        """
        with no_grad():
            for module in reversed(self):  # type: ignore[call-overload]
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {_kind(module)} does not implement right_inverse. Without it nothing can be "
                        "assigned to the tensor: assign to its originals in `parametrizations` instead."
                    )
                value = module.right_inverse(value)
            if self.is_tensor:
                if not isinstance(value, Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {_kind(value)}")
                parts, texts = (
                    [value],
                    ["The tensor returned by `right_inverse` has dtype {} while `original` has dtype {}"],
                )
            else:
                parts = self._several(value)
                texts = [
                    f"Tensor {i} returned by `right_inverse` has dtype {{}} while `original{i}` has dtype {{}}"
                    for i in range(self.ntensors)
                ]
            for original, part, text in zip(self._originals(), parts, texts, strict=True):
                if part.dtype != original.dtype:
                    raise ValueError(text.format(part.dtype, original.dtype))
                _put(original, part)

    def _several(self, value: Any) -> list[Tensor]:
        must = "'right_inverse' must return a sequence of tensors"
        if not isinstance(value, Sequence):
            raise ValueError(f"{must}. Got {_kind(value)}.")
        if len(value) != self.ntensors:
            raise ValueError(f"{must} of length {self.ntensors}. Got a sequence of length {len(value)}.")
        for i, part in enumerate(value):
            if not isinstance(part, Tensor):
                raise ValueError(f"{must} or reference-type opaques. Got element {i} of type {_kind(part)}.")
        return list(value)

    def forward(self) -> Tensor:
        """The parametrized tensor."""
        first, *others = self
        value = first(*self._originals())
        for module in others:
            value = module(value)
        return value


# --- the class of a parametrized module -------------------------------------------------------------------------------


def _property(name: str) -> property:
    def read(self: Any) -> Tensor:
        if not _cache.depth:
            return self.parametrizations[name]()
        key = _cache.key(self, name)
        if key not in _cache.values:
            _cache.values[key] = self.parametrizations[name]()
        return _cache.values[key]

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _no_pickle(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/"
        "saving_loading_models.html#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
    )


def _deepcopied(self: Any, memo: dict[int, Any]) -> Any:
    made = memo.get(id(self))
    if made is None:
        made = memo[id(self)] = self.__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made


def _reclass(module: Module, names: Sequence[str]) -> None:
    """Give a module the class with properties of these names; the class that it had, if there are none."""
    base = type_before_parametrizations(module)
    if names:
        members: dict[str, Any] = {
            "__module__": ParametrizationList.__module__,
            "__getstate__": _no_pickle,
            **{name: _property(name) for name in names},
        }
        if not hasattr(base, "__deepcopy__"):
            members["__deepcopy__"] = _deepcopied
        base = type(base)(f"Parametrized{base.__name__}", (base,), members)
        base._parametrized = True  # type: ignore[attr-defined]
    module.__class__ = base


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the tensor of this name is parametrized; without a name, whether any of the module's is."""
    tables = getattr(module, "parametrizations", None)
    if not isinstance(tables, ModuleDict):
        return False
    return len(tables) > 0 if tensor_name is None else tensor_name in tables


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before anything was parametrized."""
    kind = type(module)
    return kind.__bases__[0] if "_parametrized" in kind.__dict__ else kind


# --- registration -----------------------------------------------------------------------------------------------------


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Have `module.tensor_name`, a parameter or buffer, computed by `parametrization`; returns the module.

    If the parametrization has a method `right_inverse`, what that makes of the tensor is what it is computed from; and
    `module.tensor_name = value` then works. A second parametrization is applied after the first one.

    ValueError if there is no such tensor or, unless `unsafe`, the parametrization gives another shape or dtype.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found: Any = module.parametrizations[tensor_name]  # type: ignore[index]
        if not unsafe:
            _check_another(getattr(module, tensor_name), tensor_name, parametrization)
        found.append(parametrization)
        found.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.parametrizations = ModuleDict()
        module.parametrizations[tensor_name] = made  # type: ignore[operator]
        _reclass(module, list(module.parametrizations))  # type: ignore[arg-type]
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    return module


def _check_another(before: Tensor, name: str, parametrization: Any) -> None:
    made = parametrization(before)
    if not isinstance(made, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {_kind(made)}.")
    shown = f"module.{name}"
    _same(_MAY_NOT_CHANGE, (f"{shown}.{{}}", f"parametrization({shown}).{{}}"), before, made, "the ")
    if hasattr(parametrization, "right_inverse"):
        back = parametrization.right_inverse(made)
        if not isinstance(back, Tensor):
            raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {_kind(back)}")
        text = (
            f"The tensor returned by parametrization.right_inverse must have the same {{}} as {shown}, unless the "
            "`unsafe` flag is enabled.\n"
        )
        _same(text, (f"{shown}.{{}}", "returned {}"), before, back)


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor an ordinary parameter or buffer again, with the value that it has now; returns the module.

    Unless `leave_parametrized`, it gets the value of its original. ValueError if there are several of these, or if the
    tensor is not parametrized.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module!s} does not have a parametrization on {tensor_name}")
    found: Any = module.parametrizations[tensor_name]  # type: ignore[index]
    if found.is_tensor:
        tensor = found.original
        if leave_parametrized:
            with no_grad():
                value = getattr(module, tensor_name).detach()
            if value.dtype == tensor.dtype:
                _put(tensor, value)
            else:
                tensor = Parameter(value, tensor.requires_grad) if isinstance(tensor, Parameter) else value
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        tensor = Parameter(value.detach()) if value.requires_grad else value.detach()
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    del module.parametrizations[tensor_name]  # type: ignore[operator]
    left: Any = module.parametrizations
    _reclass(module, list(left))
    if not left:
        del module.parametrizations
    _register(module, tensor_name, tensor)
    return module


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrize the tensors of `to_module` as those of `from_module`, and share their originals; returns `to_module`.

    Tensors that `to_module` lacks are made. With `tensor_name`, only that one (KeyError if it is not parametrized).
    """
    if not is_parametrized(from_module):
        return to_module
    tables: Any = from_module.parametrizations
    for name in list(tables) if tensor_name is None else [tensor_name]:
        source = tables[name]
        if not hasattr(to_module, name):
            with no_grad():
                value = getattr(from_module, name).detach().clone()
            _register(to_module, name, Parameter(value) if isinstance(source._originals()[0], Parameter) else value)
        for parametrization in source:
            register_parametrization(to_module, name, parametrization, unsafe=source.unsafe)
        target = to_module.parametrizations[name]  # type: ignore[index]
        for key in ("original",) if source.is_tensor else [f"original{i}" for i in range(source.ntensors)]:
            setattr(target, key, getattr(source, key))
    return to_module


_explain(globals(), "torch.nn.utils.parametrize")
