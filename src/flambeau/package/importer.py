"""Where modules come from, and under which names objects are found in them."""

from __future__ import annotations

import importlib
import logging
import pickle
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any

from ..core.dispatch.messages import message
from ._mangling import demangle, get_mangle_prefix, is_mangled

__all__ = ["Importer", "ObjMismatchError", "ObjNotFoundError", "OrderedImporter"]


_log = logging.getLogger(__name__)


class ObjNotFoundError(Exception):
    """An importer has no object of a name."""


class ObjMismatchError(Exception):
    """An importer has another object of the same name."""


class Importer(ABC):
    """Where modules come from: the Python environment, or a package. Each has names of its own.

    A class derived from it says with `import_module(name)` what stands under a name; `get_name` is the way back.
    """

    modules: dict[str, ModuleType]

    @abstractmethod
    def import_module(self, module_name: str) -> ModuleType:
        """The module of this name, as `importlib.import_module` gives it."""

    def get_name(self, obj: Any, name: str | None = None) -> tuple[str, str]:
        """The module and the name within it under which this importer has an object.

        Args:
            obj: a class or a function.
            name: its name within the module, if it shall not be looked up in the object.

        Raises ObjNotFoundError if there is nothing of this name, ObjMismatchError if it is another object.
        """
        if name is None:
            name = getattr(obj, "__qualname__", None)
        if name is None:
            name = obj.__name__
        module_name = demangle(self.whichmodule(obj, name))
        try:
            module = self.import_module(module_name)
            found: Any = module
            for part in name.split("."):
                if part == "<locals>":
                    raise AttributeError(part)
                found = getattr(found, part)
        except (ImportError, KeyError, AttributeError):
            raise ObjNotFoundError(f"{obj} was not found as {module_name}.{name}") from None
        if found is obj:
            return module_name, name
        theirs, ours = self.whichmodule(obj, name), self.whichmodule(found, name)
        _, of_obj, which_obj = _home(theirs)
        _, of_found, which_found = _home(ours)
        raise ObjMismatchError(
            message("importer_mismatch", theirs=theirs, source=of_obj, ours=ours, found=of_found)
            + message("importer_order", first=which_obj, second=which_found)
        )

    def whichmodule(self, obj: Any, name: str) -> str:
        """The name of the module that an object says it comes from; `__main__` if it says nothing."""
        return getattr(obj, "__module__", None) or "__main__"


def _home(module_name: str) -> tuple[str, str, str]:
    """A module's name, where it comes from, and the importer for it."""
    if is_mangled(module_name):
        prefix = get_mangle_prefix(module_name)
        return module_name, prefix, f"the importer for {prefix}"
    return module_name, "the current Python environment", "'sys_importer'"


class _SysImporter(Importer):
    """The Python environment."""

    def import_module(self, module_name: str) -> ModuleType:
        return importlib.import_module(module_name)

    def whichmodule(self, obj: Any, name: str) -> str:
        return pickle.whichmodule(obj, name)  # type: ignore[attr-defined, no-any-return]


sys_importer: Importer = _SysImporter()


class OrderedImporter(Importer):
    """Several importers, of which the first that has something counts.

    Args:
        args: the importers, in their order.

    Its `import_module` raises ModuleNotFoundError if none has the module, its `get_name` ObjNotFoundError if none has the object.
    """

    def __init__(self, *args: Importer):
        self._importers: list[Importer] = list(args)

    def import_module(self, module_name: str) -> ModuleType:
        """The module of this name, from the first importer that has it. A folder without code counts as nothing."""
        last: ModuleNotFoundError | None = None
        for importer in self._importers:
            if not isinstance(importer, Importer):
                raise TypeError(message("package_no_importer", importer=importer))
            try:
                module = importer.import_module(module_name)
            except ModuleNotFoundError as error:
                last = error
                continue
            if not _is_empty_folder(module):
                return module
        raise last or ModuleNotFoundError(module_name)

    def get_name(self, obj: Any, name: str | None = None) -> tuple[str, str]:
        for importer in self._importers:
            try:
                return importer.get_name(obj, name)
            except (ObjNotFoundError, ObjMismatchError) as error:
                _log.info("%s has no %s of the name %s: %s", importer, obj, name, error)
        raise ObjNotFoundError(f"Could not find obj {obj} and name {name} in any of the importers {self._importers}")

    def whichmodule(self, obj: Any, name: str) -> str:
        found = (importer.whichmodule(obj, name) for importer in self._importers)
        return next((module for module in found if module != "__main__"), "__main__")


def _is_empty_folder(module: ModuleType) -> bool:
    return (
        hasattr(module, "__torch_package__")
        and hasattr(module, "__path__")
        and getattr(module, "__file__", None) is None
    )
