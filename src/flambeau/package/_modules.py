"""The module objects that an importer makes."""

from __future__ import annotations

import importlib.resources.abc
import inspect
import io
import linecache
import weakref
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

from ._mangling import demangle, get_mangle_prefix, is_mangled

_importers: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_getfile = inspect.getfile


class Source(NamedTuple):
    """A module in a package."""

    file: str | None  # None for a folder without an __init__.py
    is_package: bool


def sources(names: list[str]) -> dict[str, Source]:
    """The modules that the files of a package make: every folder is a package, too."""
    found: dict[str, Source] = {}
    for name in names:
        *folders, last = name.split("/")
        if folders[:1] == [".data"]:
            continue
        for depth in range(1, len(folders) + 1):
            found.setdefault(".".join(folders[:depth]), Source(None, True))
    for name in names:
        *folders, last = name.split("/")
        if not last.endswith(".py") or folders[:1] == [".data"]:
            continue
        if last == "__init__.py":
            if folders:
                found[".".join(folders)] = Source(name, True)
        else:
            module = ".".join((*folders, last.removesuffix(".py")))
            held = found.get(module)
            if held is None or held.file is None:
                found[module] = Source(name, held is not None)
    return found


class _Module(ModuleType):
    """A module of a package; it is shown by the name that it has there."""

    def __repr__(self) -> str:
        spec = self.__dict__.get("__spec__")
        return super().__repr__() if spec is None else f"<module {spec.name!r} (<package_importer>)>"


def make(
    name: str, mangled: str, file: str | None, is_package: bool, loader: Any, builtins: dict[str, Any]
) -> ModuleType:
    """An empty module with all that says where it comes from."""
    module = _Module(mangled)
    spec = ModuleSpec(name, loader, origin="<package_importer>", is_package=is_package)
    scope = vars(module)
    scope["__spec__"], scope["__loader__"] = spec, loader
    scope["__package__"] = name if is_package else name.rpartition(".")[0]
    if is_package:
        scope["__path__"] = []
    scope["__file__"], scope["__cached__"] = file, None
    scope["__builtins__"] = builtins
    scope["__torch_package__"] = True
    return module


def run(module: ModuleType, source: str) -> None:
    """Run a source in a module; `inspect.getsource` and tracebacks find its lines."""
    file = module.__file__ or ""
    code = compile(source, file, "exec", dont_inherit=True)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(code, vars(module))


class ResourceReader(importlib.resources.abc.ResourceReader):
    """The files of one package, for `importlib.resources`."""

    def __init__(self, fullname: str, names: Callable[[], list[str]], read: Callable[[str], bytes]):
        self.fullname = fullname
        self._folder = fullname.replace(".", "/") + "/"
        self._names = names
        self._read = read

    def open_resource(self, resource: str) -> io.BytesIO:
        """The file's bytes, as an open file. RuntimeError if there is none."""
        from ._sources import file_name

        return io.BytesIO(self._read(self._folder + file_name(resource)))

    def resource_path(self, resource: Any) -> str:
        """FileNotFoundError: files in an archive have no path."""
        raise FileNotFoundError

    def is_resource(self, path: str) -> bool:
        """Whether there is a file of this name in the package itself."""
        return "/" not in path and self._folder + path in self._names()

    def contents(self) -> Iterator[str]:
        """The names of files and folders in it."""
        inside = (name.removeprefix(self._folder) for name in self._names() if name.startswith(self._folder))
        return iter(dict.fromkeys(name.partition("/")[0] for name in inside))


def announce(name: str, importer: Any) -> None:
    """Let `inspect` find the files of this importer's classes. It looks for their modules in `sys.modules`, where they are not."""
    _importers[name] = importer
    if inspect.getfile is _getfile:
        inspect.getfile = _file_of  # type: ignore[assignment]


def _file_of(object: Any) -> str:
    home = getattr(object, "__module__", None)
    if inspect.isclass(object) and isinstance(home, str) and is_mangled(home):
        importer = _importers.get(get_mangle_prefix(home))
        file = None if importer is None else getattr(importer.modules.get(demangle(home)), "__file__", None)
        if file is not None:
            return str(file)
    return _getfile(object)
