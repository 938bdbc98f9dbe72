"""Modules that are no files: those of PyTorch's of which every name is refused, and older paths of others."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NOT_HERE = "Refused by name: quantized tensors and modules are not here."


class Part(ModuleType):
    """A module whose names are asked of a function, which raises AttributeError for those that it has not."""

    def __init__(self, path: str, names: Iterable[str], given: Callable[[str], Any], doc: str = NOT_HERE):
        super().__init__(path, doc)
        self.__spec__ = ModuleSpec(path, None, is_package=True)
        self.__path__: list[str] = []
        self.__all__ = list(names)
        self.__given = given

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__given(name)
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


def publish(package: str, parts: Mapping[str, Iterable[str]], given: Callable[[str], Any]) -> None:
    """Parts of these dotted names can be imported from `package`, unless there are files of that name."""
    for part, names in parts.items():
        parent, _, leaf = f"{package}.{part}".rpartition(".")
        if f"{package}.{part}" in sys.modules:
            continue
        made = sys.modules[f"{package}.{part}"] = Part(f"{package}.{part}", names, given)
        if not hasattr(sys.modules[parent], leaf):  # a function of that name comes first
            setattr(sys.modules[parent], leaf, made)


def older(package: str, home: ModuleType) -> Callable[[str], Any]:
    """What `package`, an older path of `home`, answers for a name; modules below it are those of `home` by their older paths."""

    def __getattr__(name: str) -> Any:
        if not name.startswith("__"):
            found = getattr(home, name, None)
            if isinstance(found, ModuleType):
                found = sys.modules.get(f"{package}.{name}")
            if found is not None:
                return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    sys.modules[package].__getattr__ = __getattr__  # type: ignore[method-assign]
    below = {name: module for name, module in sys.modules.items() if name.startswith(f"{home.__name__}.")}
    for path, module in sorted(below.items()):
        publish(
            package,
            {path.removeprefix(f"{home.__name__}."): getattr(module, "__all__", ())},
            functools.partial(getattr, module),
        )
    return __getattr__
