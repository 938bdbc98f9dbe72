"""Names of what is not there yet: they can be imported and asked for, and say so when they are used."""

from __future__ import annotations

from typing import Any

_WHY = "it is not there yet; DistributedDataParallel and the collectives are"


def function(name: str, module: str) -> Any:
    """A function that raises NotImplementedError."""

    def later(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{module.replace('flambeau', 'torch')}.{name}: {_WHY}")

    later.__name__ = later.__qualname__ = name
    later.__module__ = module
    later.__refused__ = True  # type: ignore[attr-defined]
    later.__doc__ = "Raises NotImplementedError: it is not there yet."
    return later


def kind(name: str, module: str, base: Any = object) -> Any:
    """A class, for `isinstance` to ask for, of which no object can be made."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{module.replace('flambeau', 'torch')}.{name}: {_WHY}")

    return type(
        name,
        (base,),
        {"__init__": __init__, "__module__": module, "__doc__": "It is not there yet.", "__refused__": True},
    )
