"""Pickles whose names an importer finds. They run whatever they say."""

from __future__ import annotations

import pickle
from typing import Any

from ..checkpoint import names
from ..checkpoint.errors import brief, damaged
from ..checkpoint.reader import Storages


class PackageUnpickler(pickle.Unpickler):
    """Reads one pickle of a package: names are those of its importer, tensors' memory lies in its files."""

    def __init__(self, importer: Any, stream: Any, storages: Storages):
        super().__init__(stream)
        self._importer = importer
        self._storages = storages
        self._made: dict[Any, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle is."""
        module, name = names.modern(module, name)
        if self._importer.is_external(module):
            found = names.find(module, name)
            if found is not None:
                return found
        found = self._importer.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def persistent_load(self, key: Any) -> Any:
        """A storage, or an object that its own function makes."""
        if type(key) is tuple and key and key[0] == "storage":
            number = key[2] if len(key) > 2 else None
            parts = (*key[:2], str(number), *key[3:]) if type(number) is int else key
            return self._storages(parts)
        if type(key) is tuple and len(key) >= 4 and key[0] == "reduce_package":
            _, number, function, arguments = key[:4]
            if number not in self._made:
                self._made[number] = function(self._importer, *arguments)
            return self._made[number]
        if type(key) is tuple and key and key[0] == "torch_script":
            raise RuntimeError(
                "this package holds a TorchScript program, code for another machine, which is not read here"
            )
        raise damaged(f"a pickle names {brief(key)}, which should tell of a storage")
