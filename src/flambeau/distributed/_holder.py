"""Wrappers that hold a module under a name of their own, which nobody sees: parameters and state dicts have the module's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..nn.modules.module import Module


class Holder(Module):
    """Attributes and items are those of the module, which is kept under the name `_held`."""

    _held: str

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__(self._held), name)

    def __getitem__(self, key: int) -> Any:
        return self._modules[self._held][key]  # type: ignore[index]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield name.replace(f"{self._held}.", ""), parameter


def renamed(module: Holder, state: dict[str, Any], prefix: str) -> list[str]:
    """Give the held module's entries of a state dict the names that they have without the wrapper, which are returned."""
    inner = f"{prefix}{module._held}."
    names = {n: prefix + n.removeprefix(inner) for n in state if n.startswith(inner)}
    for name, outer in names.items():
        state[outer] = state.pop(name)
    return list(names.values())


def outer_names(module: Holder, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """`renamed`, as a hook."""
    renamed(module, state, prefix)


def inner_names(module: Holder, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """The other way round."""
    inner = f"{prefix}{module._held}."
    for name in [n for n in state if n.startswith(prefix) and not n.startswith(inner)]:
        state[inner + name.removeprefix(prefix)] = state.pop(name)
