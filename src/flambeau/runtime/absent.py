"""Kinds of devices for which XLA has no plugin here: their modules answer as PyTorch's do in builds without them."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any


def refusal(error: type[Exception], text: str) -> Callable[[str], Any]:
    """A maker of functions that raise `error`; `{name}` in the text is the function's."""

    def made(name: str) -> Any:
        def refused(*args: Any, **kwargs: Any) -> Any:
            raise error(text.replace("{name}", name))

        refused.__name__ = refused.__qualname__ = name
        refused.__refused__ = True  # type: ignore[attr-defined]
        refused.__doc__ = f"Refused: there is no such device. Raises {error.__name__}."
        return refused

    return made


def refused_class(name: str, text: str, base: type = object) -> type:
    """A class whose making raises RuntimeError, so that `isinstance` can ask for it."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(text)

    return type(
        name, (base,), {"__init__": __init__, "__doc__": "Refused: there is no such device.", "__refused__": True}
    )


def answer(value: Any) -> Callable[[str], Any]:
    """A maker of functions that give `value`: what is true of a device that isn't there."""

    def made(name: str) -> Any:
        def answered(*args: Any, **kwargs: Any) -> Any:
            return OrderedDict() if value is OrderedDict else list(value) if isinstance(value, list) else value

        answered.__name__ = answered.__qualname__ = name
        answered.__doc__ = "What is true of a device that is not there."
        return answered

    return made


class no_device:
    """A context in which a device is the one in use: without any it means nothing."""

    def __init__(self, device: Any):
        self.idx = -1

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


def names(make: Callable[[str], Any], *listed: str) -> dict[str, Any]:
    """The functions of these names."""
    return {name: make(name) for line in listed for name in line.split()}


def placed(functions: dict[str, Any], module: str) -> dict[str, Any]:
    """The same, at home in a module."""
    for function in functions.values():
        if callable(function):
            function.__module__ = module
    return functions


@functools.cache
def refused(name: str, module: str, why: str) -> Any:
    """What stands for a name that is not here: a class that can't be made, or a function that raises NotImplementedError."""
    text = f"torch.{module.removeprefix('flambeau.')}.{name}: {why}"

    def tell(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(text)

    tell.__doc__ = f"Refused: {why}."
    tell.__module__ = module
    tell.__refused__ = True  # type: ignore[attr-defined]
    if not name.lstrip("_")[:1].isupper():
        tell.__name__ = tell.__qualname__ = name
        return tell
    base = Exception if name.endswith(("Error", "Exception", "Warning", "Retryable", "Immediately")) else object
    body = {"__init__": tell, "__module__": module, "__doc__": f"Refused: {why}.", "__refused__": True}
    return type(name, (base,), body)


def refuse(space: dict[str, Any], why: str, names: str) -> None:
    """Give a module (its `globals()`) names that are refused when they are used, and list them in its `__all__`."""
    space.update({name: refused(name, space["__name__"], why) for name in names.split()})
    space.setdefault("__all__", []).extend(names.split())
