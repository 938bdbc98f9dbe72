"""Packages are read: their modules run from the archive, and nothing else is imported than what they say."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from ..checkpoint.reader import Storages
from ..checkpoint.storages import restorer
from ..core.dispatch.messages import message
from . import _modules, _reading, _sources
from ._mangling import PackageMangler, demangle
from ._unpickling import PackageUnpickler
from .file_structure_representation import Directory, _create_directory_from_file_list
from .glob_group import GlobPattern
from .importer import Importer

__all__ = ["PackageImporter"]


_SELF = "torch_package_importer"  # by this name a package's code finds its importer


class PackageImporter(Importer):
    """Reads what `PackageExporter` wrote: imports its modules, loads its pickles and its other files.

    A package is a program: its sources and pickles run with all that this process may do. Read only what you trust.
    Its modules are this importer's own, and not in `sys.modules`; two importers of one file have two of each. They import each other, and
    from the environment only what the package lists; `import torch` in them is flambeau. Within the package
    `import torch_package_importer` gives the importer.

    Args:
        file_or_buffer: a path, the folder that a package was unpacked to, an open seekable binary file, or a `torch.PyTorchFileReader`.
        module_allowed: called with the name of each module that the package needs from outside: whether it may have it.

    Raises ImportError for a module that is not allowed, RuntimeError for a file that is missing, damaged, or no package.
    """

    modules: dict[str, ModuleType]

    def __init__(
        self,
        file_or_buffer: str | os.PathLike[str] | Any,
        module_allowed: Callable[[str], bool] = lambda module_name: True,
    ):
        self.filename, self._files = _reading.opened(file_or_buffer)
        listed = self._text(".data/extern_modules").removesuffix("\n")
        self.extern_modules: list[str] = listed.split("\n")
        for name in self.extern_modules:
            if not module_allowed(name):
                raise ImportError(message("package_disallowed_extern", file=file_or_buffer, name=name))
        self._sources = _modules.sources(self._files.names())
        for name in filter(None, self.extern_modules):
            parts = name.split(".")
            for depth in range(1, len(parts)):
                self._sources.setdefault(".".join(parts[:depth]), _modules.Source(None, True))
        self._externs = frozenset(filter(None, self.extern_modules))
        self._mangler = PackageMangler()
        _modules.announce(self._mangler.parent_name(), self)
        self._lock = threading.RLock()
        self.modules = {_SELF: self}  # type: ignore[dict-item]
        self.patched_builtins = {**vars(builtins), "__import__": self.__import__}

    # --- modules ------------------------------------------------------------------------------------------------------

    def import_module(self, name: str, package: Any = None) -> ModuleType:
        """A module of the package, which is run the first time, or one that the package may have from outside.

        Args:
            name: such as `"my_package.my_module"`.
            package: not used; `importlib.import_module` has it.

        Raises ModuleNotFoundError for a module that is neither, and whatever the module raises.
        """
        name = self._mangler.demangle(name)
        with self._lock:
            found = self.modules.get(name)
            return self._load(name) if found is None else found

    def is_external(self, name: str) -> bool:
        """Whether a module comes from outside: the package lists it, or one in which it lies."""
        if (held := self._sources.get(name)) is not None and (held.file is not None or name not in self._externs):
            return False
        parts = name.split(".")
        return any(".".join(parts[:depth]) in self._externs for depth in range(1, len(parts) + 1))

    def _load(self, name: str) -> ModuleType:
        parent, _, last = name.rpartition(".")
        if parent:
            holder = self.import_module(parent)
            if name in self.modules:
                return self.modules[name]
            if not hasattr(holder, "__path__"):
                raise ModuleNotFoundError(f"No module named {name!r}; {parent!r} is not a package", name=name)
        if self.is_external(name):
            module = self.modules[name] = _sources.environment_module(name)
        elif name in self._sources:
            module = self._run(name)
        else:
            raise ModuleNotFoundError(
                message("package_no_module", name=name, file=self.filename, externs=self.extern_modules), name=name
            )
        if parent and getattr(holder, "__torch_package__", False):
            setattr(holder, last, module)
        return module

    def _run(self, name: str) -> ModuleType:
        held = self._sources[name]
        file = None if held.file is None else self._mangler.mangle(held.file)
        module = _modules.make(name, self._mangler.mangle(name), file, held.is_package, self, self.patched_builtins)
        self.modules[name] = module
        if held.file is None:
            return module
        try:
            _modules.run(module, importlib.util.decode_source(self._bytes(held.file)))
        except BaseException:
            self.modules.pop(name, None)
            raise
        return self.modules.get(name, module)

    def __import__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        """`import` as the package's modules do it."""
        if level:
            own = (globals or {}).get("__package__") or ""
            name = _absolute(name, own, level)
        module = self.import_module(name)
        if not fromlist:
            return module if level else self.import_module(name.partition(".")[0])
        for wanted in fromlist:
            if wanted == "*":
                exported = getattr(module, "__all__", ())
            else:
                exported = (wanted,)
            for attribute in exported if hasattr(module, "__path__") else ():
                if not hasattr(module, attribute):
                    self._try_submodule(f"{name}.{attribute}")
        return module

    def _try_submodule(self, name: str) -> None:
        try:
            self.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise

    def get_source(self, module_name: str) -> str:
        """A module's source, as `linecache` asks for it. ModuleNotFoundError if there is no such module."""
        name = demangle(module_name)
        held = self._sources.get(name)
        if held is None:
            self.import_module(name)  # says that there is none
        if held is None or held.file is None:
            raise ImportError(f"{name} has no source in this package", name=name)
        return importlib.util.decode_source(self._bytes(held.file))

    # --- files --------------------------------------------------------------------------------------------------------

    def load_binary(self, package: str, resource: str) -> bytes:
        """The bytes of a file.

        Args:
            package: the package in which it lies, such as `"my_package"`.
            resource: its name there.

        Raises ModuleNotFoundError if there is no such package, TypeError for a module that is none, RuntimeError if there is no such file.
        """
        return self._bytes(self._path(package, resource))

    def load_text(self, package: str, resource: str, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The text in a file.

        Args:
            package: the package in which it lies, such as `"my_package"`.
            resource: its name there.
            encoding: how the text is written.
            errors: what becomes of bytes that are none, as for `bytes.decode`.

        Raises what `load_binary` raises, and UnicodeDecodeError.
        """
        return self.load_binary(package, resource).decode(encoding, errors)

    def load_pickle(self, package: str, resource: str, map_location: Any = None) -> Any:
        """The object in a pickle. It runs whatever the pickle says, and imports the modules of its classes.

        Args:
            package: the package in which it lies, such as `"my_package"`.
            resource: its name there.
            map_location: where the tensors go, as for `torch.load`.

        Raises what `load_binary` and pickle raise; RuntimeError for memory of tensors that is not what the pickle says of it.
        """
        pickled = self._bytes(self._path(package, resource))
        order = self._text("byteorder").strip() if self._files.has("byteorder") else sys.byteorder
        storages = Storages(
            lambda key: self._files.read(f".data/{key}.storage"),
            lambda key: self._files.size(f".data/{key}.storage"),
            restorer(map_location),
            swapped=order != sys.byteorder,
        )
        made = PackageUnpickler(self, io.BytesIO(pickled), storages).load()
        storages.settle()
        return made

    def get_resource_reader(self, fullname: str) -> _modules.ResourceReader | None:
        """The files of a package, as `importlib.resources` asks for them; None if there is none. TypeError for a module that is no package."""
        try:
            if not hasattr(self.import_module(fullname), "__path__"):
                raise TypeError(f"{demangle(fullname)!r} is not a package")
        except ImportError:
            return None
        return _modules.ResourceReader(demangle(fullname), self._files.names, self._bytes)

    def file_structure(self, *, include: GlobPattern = "**", exclude: GlobPattern = ()) -> Directory:
        """The files of the package, as a tree.

        Args:
            include: a pattern for the paths, as in `GlobGroup` but with `/` between segments, or several.
            exclude: patterns for paths that are left out.
        """
        return _create_directory_from_file_list(self.filename, self._files.names(), include, exclude)

    def id(self) -> str:
        """The name of this importer, which stands before the names of its modules: `<torch_package_0>`."""
        return self._mangler.parent_name()

    def python_version(self) -> str | None:
        """The version of Python that wrote the package; None if it does not say."""
        name = ".data/python_version"
        return self._text(name).strip() if self._files.has(name) else None

    def _path(self, package: str, resource: str) -> str:
        name = _sources.file_name(resource)
        module = self.import_module(package)
        if not hasattr(module, "__path__"):
            raise TypeError(f"{package!r} is not a package")
        return f"{package.replace('.', '/')}/{name}"

    def _bytes(self, name: str) -> bytes:
        return self._files.read(name).tobytes()

    def _text(self, name: str) -> str:
        return self._bytes(name).decode("utf-8")


def _absolute(name: str, package: str, level: int) -> str:
    parts = package.split(".")
    if not package:
        raise ImportError("attempted relative import with no known parent package")
    if level > len(parts):
        raise ValueError("attempted relative import beyond top-level package")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base
