"""The tensors and children of a module, read and replaced by dotted names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.tensor.tensor import Tensor
from ..modules.module import Module

_MISSING: Any = object()  # stands for a tensor that was not there


def _table(module: Module, name: str) -> dict[str, Any] | None:
    for table in (module._parameters, module._buffers):
        if name in table:
            return table
    return None


def _check_place(module: Any, kind: str, name: str) -> None:
    if not isinstance(module, Module):
        raise TypeError(f"{module!s} is not an instance of torch.nn.Module")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')


def _check_tensor(value: Any) -> None:
    if value is not None and value is not _MISSING and not isinstance(value, Tensor):
        raise TypeError(f"{value} is not an instance of torch.Tensor")


def set_tensor(module: Module, name: str, tensor: Tensor | None) -> None:
    """Put a tensor into a parameter's or buffer's place, whatever its class; else it becomes an attribute."""
    _check_place(module, "tensor", name)
    _check_tensor(tensor)
    table = _table(module, name)
    if table is not None:
        table[name] = tensor
    else:
        setattr(module, name, tensor)


def swap_tensor(module: Module, name: str, tensor: Any, allow_missing: bool = False) -> Any:
    """The same; returns what was there before. AttributeError if there was nothing, unless `allow_missing`."""
    _check_place(module, "tensor", name)
    _check_tensor(tensor)
    table = _table(module, name)
    if table is not None:
        old = table[name]
        if tensor is _MISSING:
            del table[name]
        else:
            table[name] = tensor
        return old
    old = getattr(module, name, _MISSING)
    if old is _MISSING:
        if not allow_missing:
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    elif old is not None and not isinstance(old, Tensor):
        raise TypeError(f"attribute `{name}`: {old} is not an instance of torch.Tensor")
    if tensor is not _MISSING:
        setattr(module, name, tensor)
    elif old is not _MISSING:
        delattr(module, name)
    return old


def swap_submodule(module: Module, name: str, submodule: Module) -> Module:
    """Put a module into a child's place; returns the one before. KeyError if there is no such child."""
    _check_place(module, "submodule", name)
    if not isinstance(submodule, Module):
        raise TypeError(f"{submodule!s} is not an instance of torch.nn.Module")
    if name not in module._modules:
        raise KeyError(f"submodule {name} does not exist")
    old = module._modules[name]
    if not isinstance(old, Module):
        raise TypeError(f"{name!s} attribute is not an instance of torch.nn.Module")
    setattr(module, name, submodule)
    return old


class NamedMemberAccessor:
    """A module's tensors and descendants by path; the way to each is looked up once."""

    def __init__(self, module: Module):
        self.module = module
        self._found: dict[str, Module] = {"": module}

    def get_submodule(self, name: str) -> Module:
        """The descendant at a path. AttributeError if there is none, TypeError if it is no module."""
        if name not in self._found:
            path, _, last = name.rpartition(".")
            parent = self.get_submodule(path)
            if not hasattr(parent, last):
                raise AttributeError(f"{parent._get_name()} has no attribute `{last}`")
            found = getattr(parent, last)
            if not isinstance(found, Module):
                raise TypeError(f"submodule `{name}`: {found} is not an instance of torch.nn.Module")
            self._found[name] = found
        return self._found[name]

    def _split(self, name: str) -> tuple[Module, str]:
        path, _, last = name.rpartition(".")
        return self.get_submodule(path), last

    def swap_submodule(self, path: str, value: Module) -> Module:
        """Put a module in the place of another; returns that."""
        parent, name = self._split(path)
        old = swap_submodule(parent, name, value)
        self._found = {"": self.module}
        return old

    def get_tensor(self, name: str) -> Tensor:
        """The tensor at a path. AttributeError if there is none, TypeError if it is no tensor."""
        module, last = self._split(name)
        if not hasattr(module, last):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        tensor = getattr(module, last)
        _check_tensor(tensor)
        return tensor

    def set_tensor(self, name: str, value: Tensor) -> None:
        """Put a tensor at a path."""
        set_tensor(*self._split(name), value)

    def del_tensor(self, name: str) -> None:
        """Remove the tensor at a path. AttributeError if there is none."""
        module, last = self._split(name)
        if not hasattr(module, last):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        delattr(module, last)

    def swap_tensor(self, name: str, value: Any, allow_missing: bool = False) -> Any:
        """Put a tensor at a path; returns the one before."""
        return swap_tensor(*self._split(name), value, allow_missing=allow_missing)

    def get_tensors(self, names: Iterable[str]) -> list[Tensor]:
        """The tensors at these paths."""
        return [self.get_tensor(name) for name in names]

    @staticmethod
    def _paired(names: Iterable[str], values: Iterable[Any]) -> list[tuple[str, Any]]:
        names, values = list(names), list(values)
        if len(names) != len(values):
            raise AssertionError(
                f"names and values must have the same length, got {len(names)} names and {len(values)} values"
            )
        return list(zip(names, values, strict=True))

    def set_tensors(self, names: Iterable[str], values: Iterable[Tensor]) -> None:
        """Put tensors at these paths."""
        for name, value in self._paired(names, values):
            self.set_tensor(name, value)

    def set_tensors_dict(self, named_tensors: dict[str, Tensor]) -> None:
        """Put tensors at the paths that are the keys."""
        for name, value in named_tensors.items():
            self.set_tensor(name, value)

    def del_tensors(self, names: Iterable[str]) -> None:
        """Remove the tensors at these paths."""
        for name in names:
            self.del_tensor(name)

    def swap_tensors(self, names: Iterable[str], values: Iterable[Any], allow_missing: bool = False) -> list[Any]:
        """Put tensors at these paths; returns those before."""
        return [self.swap_tensor(name, value, allow_missing) for name, value in self._paired(names, values)]

    def swap_tensors_dict(
        self, named_tensors: dict[str, Any], allow_missing: bool = False
    ) -> tuple[dict[str, Any], list[str]]:
        """The same by a dict; returns those before, and the paths where there was none. All or nothing is put."""
        before: dict[str, Any] = {}
        missing = []
        try:
            for name, value in named_tensors.items():
                old = self.swap_tensor(name, value, allow_missing=True)
                before[name] = old
                if old is _MISSING:
                    missing.append(name)
            if missing and not allow_missing:
                raise RuntimeError(f"Missing key(s): {', '.join(map(repr, missing))}.")
        except Exception:
            for name, old in before.items():
                self.swap_tensor(name, old, allow_missing=True)
            raise
        return before, missing

    def check_keys(self, keys: Iterable[str]) -> tuple[list[str], list[str]]:
        """The parameters and buffers that are not among the keys, and the keys that are none: both sorted."""
        given = set(keys)
        own = {name for name, _ in self.named_tensors(remove_duplicate=False)}
        return sorted(own - given), sorted(given - own)

    def named_parameters(self, remove_duplicate: bool = True) -> Iterable[tuple[str, Tensor]]:
        """(path, parameter)."""
        yield from self.module.named_parameters(remove_duplicate=remove_duplicate)

    def named_buffers(self, remove_duplicate: bool = True) -> Iterable[tuple[str, Tensor]]:
        """(path, buffer)."""
        yield from self.module.named_buffers(remove_duplicate=remove_duplicate)

    def named_tensors(self, remove_duplicate: bool = True) -> Iterable[tuple[str, Tensor]]:
        """(path, tensor) for the parameters, then the buffers."""
        yield from self.named_parameters(remove_duplicate)
        yield from self.named_buffers(remove_duplicate)

    def named_modules(self, remove_duplicate: bool = True) -> Iterable[tuple[str, Module]]:
        """(path, module)."""
        yield from self.module.named_modules(remove_duplicate=remove_duplicate)
