"""`torch.classes`: classes that libraries in C++ register with libtorch. There is none here."""

from __future__ import annotations

from typing import Any

loaded_libraries: set[str] = set()


def load_library(path: str) -> None:
    """Refused: such libraries need libtorch."""
    raise OSError(f"{path}: a library of classes needs libtorch, which is not here")


class _Namespace:
    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(
            f"Tried to instantiate class '{self._name}.{name}', but it does not exist! Ensure that it is registered via "
            "torch::class_ (which needs libtorch; it is not here)"
        )


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"{__name__}.{name} is no namespace")
    return _Namespace(name)
