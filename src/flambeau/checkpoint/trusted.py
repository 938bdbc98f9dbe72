"""The unpickler for files that the user trusts (`weights_only=False`): Python's own, with torch's names led to ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import names


def unpickler(pickle_module: Any, file: Any, persistent_load: Callable[[Any], Any], **arguments: Any) -> Any:
    """An unpickler of `pickle_module` that reads torch's files. It runs whatever the file says."""

    class TorchUnpickler(pickle_module.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = names.find(module, name)
            return super().find_class(module, name) if found is None else found

        def persistent_load(self, key: Any) -> Any:
            return persistent_load(key)

    return TorchUnpickler(file, **arguments)
