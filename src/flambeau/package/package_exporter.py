"""Packages are written: sources, what they import, pickles and other files, in one archive."""

from __future__ import annotations

import enum
import os
import platform
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..checkpoint.archive import Writer
from ..core.autograd.handles import RemovableHandle
from ..core.dispatch.messages import message
from ..runtime import files
from . import _pickling, _sources
from ._digraph import DiGraph
from ._errors import DISALLOWED, EmptyMatchError, PackagingError, PackagingErrorReason
from .find_file_dependencies import find_files_source_depends_on
from .glob_group import GlobGroup, GlobPattern
from .importer import Importer, OrderedImporter, sys_importer

__all__ = ["EmptyMatchError", "PackageExporter", "PackagingError", "PackagingErrorReason"]

Hook = Callable[["PackageExporter", str], None]
_VERSION = "6\n"
_KNOWN = ("_mock", "torch_package_importer")  # what importers make themselves


class _ModuleProviderAction(enum.Enum):
    INTERN = 1
    EXTERN = 2
    MOCK = 3
    DENY = 4
    SKIP = 6


_Action = _ModuleProviderAction


class _Pattern:
    def __init__(self, group: GlobGroup, action: _Action, allow_empty: bool):
        self.group = group
        self.action = action
        self.allow_empty = allow_empty
        self.was_matched = False


class PackageExporter:
    """Writes a package: an archive of sources, pickles and other files that `PackageImporter` runs without the modules' own files.

    Of every module that a source imports, or that a pickle names, the patterns say what becomes of it, the first that matches: its source
    is taken along (`intern`), the reader's environment has it (`extern`), something that must not be used takes its place (`mock`), or it
    must not be there (`deny`). torch and nearly all of Python's own modules are the reader's without being named.
    The file is written by `close`, or at the end of a `with` block, if nothing was raised there.

    Args:
        f: a path, or a binary file that is open for writing.
        importer: where modules and the classes of pickled objects are looked for; several, in their order. What came out of a package is
            found by its importer.
        debug: whether a `PackagingError` tells how each module came in.

    Raises TypeError for an importer that is none, RuntimeError if the folder does not exist.
    """

    importer: Importer

    def __init__(
        self,
        f: str | os.PathLike[str] | Any,
        importer: Importer | Sequence[Importer] = sys_importer,
        debug: bool = False,
    ) -> None:
        if isinstance(importer, Importer):
            self.importer = importer
        elif isinstance(importer, Sequence):
            self.importer = OrderedImporter(*importer)
        else:
            raise TypeError(message("package_importer_type", kind=type(importer)))
        if isinstance(f, (str, os.PathLike)):
            if not (folder := Path(os.fsdecode(f)).parent).exists():
                raise RuntimeError(f"Parent directory {folder} does not exist.")
        elif not hasattr(f, "write"):
            raise AttributeError(f"'{type(f).__name__}' object has no attribute 'write'")
        self.debug = debug
        self.dependency_graph = DiGraph()
        self._target = f
        self._records: dict[str, Any] | None = {}
        self._patterns: list[_Pattern] = []
        self._hooks: dict[_Action, OrderedDict[int, Hook]] = {
            action: OrderedDict() for action in (_Action.INTERN, _Action.EXTERN, _Action.MOCK)
        }
        self._ids = 0
        self._plan = _pickling.StoragePlan()
        self._reduced: dict[int, tuple[Any, tuple[Any, ...]]] = {}

    # --- what goes in -------------------------------------------------------------------------------------------------

    def save_source_file(self, module_name: str, file_or_directory: str, dependencies: bool = True) -> None:
        """Take a file as the source of a module, or a folder and all Python files in it as that of a package.

        Args:
            module_name: such as `"my_package.my_module"`.
            file_or_directory: the path. A file `__init__.py` is a package's.
            dependencies: whether what they import is followed.
        """
        path = Path(file_or_directory)
        if not path.is_dir():
            self.save_source_string(module_name, path.read_text("utf-8"), path.name == "__init__.py", dependencies)
            return
        found = []
        for file in sorted(path.rglob("*.py")):
            is_package = file.name == "__init__.py"
            inner = file.relative_to(path).with_suffix("").parts[: -1 if is_package else None]
            found.append((".".join((module_name, *inner)), file.read_text("utf-8"), is_package))
        for name, source, is_package in found:  # first all, since they import each other
            self.save_source_string(name, source, is_package, dependencies=False)
        for name, source, is_package in found if dependencies else ():
            self._follow(name, source, is_package)

    def save_source_string(
        self, module_name: str, src: str, is_package: bool = False, dependencies: bool = True
    ) -> None:
        """Take a text as the source of a module.

        Args:
            module_name: such as `"my_package.my_module"`.
            src: the source.
            is_package: whether other modules may lie in it.
            dependencies: whether what it imports is followed.
        """
        self._check_open()
        self.dependency_graph.add_node(
            module_name, source=src, is_package=is_package, provided=True, action=_Action.INTERN
        )
        if dependencies:
            self._follow(module_name, src, is_package)

    def save_module(self, module_name: str, dependencies: bool = True) -> None:
        """Take the source of a module that the importer finds.

        Args:
            module_name: such as `"my_package.my_module"`.
            dependencies: whether what it imports is followed.

        Raises TypeError for what is no name, ModuleNotFoundError if there is no such module.
        """
        if not isinstance(module_name, str):
            raise TypeError(message("package_module_name"))
        self._check_open()
        self._intern(module_name, dependencies)

    def save_pickle(
        self, package: str, resource: str, obj: Any, dependencies: bool = True, pickle_protocol: int = 3
    ) -> None:
        """Pickle an object, its tensors' memory beside it. Pickles of one package share the memory of tensors that do.

        An object with a method `__reduce_package__(exporter)` is packaged by it: it returns a function and its arguments, and the function
        is called with the importer before these.

        Args:
            package: the package in which it lies, such as `"my_package"`.
            resource: its name there.
            obj: what is pickled.
            dependencies: whether the modules that the pickle names are followed.
            pickle_protocol: 3 or 4.

        Raises pickle.PicklingError for what can't be pickled, or whose class no importer finds.
        """
        if pickle_protocol not in (3, 4):
            raise AssertionError(message("package_protocol", protocol=pickle_protocol))
        path = _sources.resource_path(package, resource)
        self._check_open()
        pickled = _pickling.dump(obj, self.importer, pickle_protocol, self._plan, self._reduce)
        if dependencies:
            node = f"<{package}.{resource}>"
            self.dependency_graph.add_node(node, action=_Action.INTERN, provided=True, is_pickle=True)
            for module_name, names in _pickling.globals_of(pickled).items():
                self.dependency_graph.add_edge(node, module_name)
                self.add_dependency(module_name)
                about = self.dependency_graph.nodes[module_name]
                if about.get("action") is _Action.MOCK:
                    about["error"] = PackagingErrorReason.MOCKED_BUT_STILL_USED
                    where = message(
                        "package_mocked_context", names=names, module=module_name, resource=resource, package=package
                    )
                    about["error_context"] = where + " "
        for held in self._plan.written:
            if (name := f".data/{held.number}.storage") not in self._open():
                self._write(name, held.array().tobytes())
        self._write(path, pickled)

    def save_text(self, package: str, resource: str, text: str) -> None:
        """Take a text along, in UTF-8.

        Args:
            package: the package in which it lies, such as `"my_package"`.
            resource: its name there.
            text: what is written.
        """
        self.save_binary(package, resource, text.encode("utf-8"))

    def save_binary(self, package: str, resource: str, binary: bytes) -> None:
        """Take bytes along.

        Args:
            package: the package in which they lie, such as `"my_package"`.
            resource: their name there. ValueError if it is more than a file's name.
            binary: what is written.
        """
        self._write(_sources.resource_path(package, resource), binary)

    # --- what becomes of the modules ----------------------------------------------------------------------------------

    def intern(self, include: GlobPattern, *, exclude: GlobPattern = (), allow_empty: bool = True) -> None:
        """The sources of modules that match are taken along, and what they import is followed.

        Args:
            include: a pattern as in `GlobGroup`, or several.
            exclude: patterns for modules that it does not hold for.
            allow_empty: if False, it is an error (`EmptyMatchError`) that no module matches.
        """
        self._add(include, exclude, _Action.INTERN, allow_empty)

    def extern(self, include: GlobPattern, *, exclude: GlobPattern = (), allow_empty: bool = True) -> None:
        """Modules that match are imported from the environment of who reads the package.

        Args:
            include: a pattern as in `GlobGroup`, or several.
            exclude: patterns for modules that it does not hold for.
            allow_empty: if False, it is an error (`EmptyMatchError`) that no module matches.
        """
        self._add(include, exclude, _Action.EXTERN, allow_empty)

    def mock(self, include: GlobPattern, *, exclude: GlobPattern = (), allow_empty: bool = True) -> None:
        """Modules that match can be imported, and are empty: what is taken from them raises NotImplementedError where it is used.

        Args:
            include: a pattern as in `GlobGroup`, or several.
            exclude: patterns for modules that it does not hold for.
            allow_empty: if False, it is an error (`EmptyMatchError`) that no module matches.
        """
        self._add(include, exclude, _Action.MOCK, allow_empty)

    def deny(self, include: GlobPattern, *, exclude: GlobPattern = ()) -> None:
        """It is an error (`PackagingError`) if a module that matches is needed.

        Args:
            include: a pattern as in `GlobGroup`, or several.
            exclude: patterns for modules that it does not hold for.
        """
        self._add(include, exclude, _Action.DENY, True)

    def _add(self, include: GlobPattern, exclude: GlobPattern, action: _Action, allow_empty: bool) -> None:
        self._patterns.append(_Pattern(GlobGroup(include, exclude=exclude), action, allow_empty))

    def register_intern_hook(self, hook: Hook) -> RemovableHandle:
        """Have `hook(exporter, name)` called for each module whose source is written, and each pickle. Returns a handle to remove it."""
        return self._register(hook, _Action.INTERN)

    def register_extern_hook(self, hook: Hook) -> RemovableHandle:
        """Have `hook(exporter, name)` called for each module that the reader has to have. Returns a handle to remove it."""
        return self._register(hook, _Action.EXTERN)

    def register_mock_hook(self, hook: Hook) -> RemovableHandle:
        """Have `hook(exporter, name)` called for each module that is mocked. Returns a handle to remove it."""
        return self._register(hook, _Action.MOCK)

    def _register(self, hook: Hook, action: _Action) -> RemovableHandle:
        handle = RemovableHandle(self._hooks[action])
        self._hooks[action][handle.id] = hook
        return handle

    def add_dependency(self, module_name: str, dependencies: bool = True) -> None:
        """Have the patterns decide about a module, unless that is done.

        Args:
            module_name: such as `"my_package.my_module"`.
            dependencies: whether what it imports is followed, if its source is taken along.
        """
        graph = self.dependency_graph
        if graph.nodes.get(module_name):
            return
        if module_name in _KNOWN:
            graph.add_node(module_name, action=_Action.SKIP, provided=True)
            return
        if _sources.is_given(module_name) and module_name.partition(".")[0] not in DISALLOWED:
            graph.add_node(module_name, action=_Action.EXTERN, provided=True)
            return
        pattern = next((p for p in self._patterns if p.group.matches(module_name)), None)
        if pattern is None:
            graph.add_node(module_name, error=PackagingErrorReason.NO_ACTION)
            return
        pattern.was_matched = True
        graph.add_node(module_name, action=pattern.action, provided=True)
        if pattern.action is _Action.DENY:
            graph.add_node(module_name, error=PackagingErrorReason.DENIED)
        elif pattern.action is _Action.INTERN:
            self._intern(module_name, dependencies)

    def _intern(self, module_name: str, dependencies: bool) -> None:
        module = _sources.imported(module_name, self.importer)
        is_package = hasattr(module, "__path__")
        source, reason = _sources.source_of(module)
        self.dependency_graph.add_node(module_name, action=_Action.INTERN, is_package=is_package, provided=True)
        if source is None:
            self.dependency_graph.add_node(module_name, error=reason)
            return
        self.dependency_graph.add_node(module_name, source=source)
        if dependencies:
            self._follow(module_name, source, is_package)

    def _follow(self, module_name: str, source: str, is_package: bool) -> None:
        package = module_name if is_package else module_name.rpartition(".")[0]
        try:
            imports = find_files_source_depends_on(source, package)
        except (SyntaxError, ValueError) as error:
            self.dependency_graph.add_node(
                module_name, error=PackagingErrorReason.DEPENDENCY_RESOLUTION_FAILED, error_context=str(error)
            )
            return
        needed: dict[str, None] = {}
        for module, name in imports:
            candidates = (module,) if name is None else (f"{module}.{name}", module)
            found = next((c for c in candidates if self._exists(c)), None)
            if found is not None:
                needed[found] = None
        for found in needed:
            self.dependency_graph.add_edge(module_name, found)
            self.add_dependency(found)

    def _exists(self, module_name: str) -> bool:
        if module_name in _KNOWN:
            return False
        if module_name in self.dependency_graph:
            return True
        try:
            _sources.imported(module_name, self.importer)
        except Exception:  # whatever it says: it may be a name in a module, or a module that nobody can import
            return False
        return True

    # --- what there is ------------------------------------------------------------------------------------------------

    def get_unique_id(self) -> str:
        """A text that this package has given to nobody else."""
        given, self._ids = str(self._ids), self._ids + 1
        return given

    def dependency_graph_string(self) -> str:
        """Which module needs which, in DOT, Graphviz's language."""
        return self.dependency_graph.to_dot()

    def all_paths(self, src: str, dst: str) -> str:
        """All paths by which a module needs another, in DOT.

        Args:
            src: the one that needs.
            dst: the one that is needed.

        Raises ValueError for a name that is none of the package's.
        """
        return self.dependency_graph.all_paths(src, dst)

    def get_rdeps(self, module_name: str) -> list[str]:
        """The modules that import one directly; none for a module that is not there."""
        return list(self.dependency_graph.predecessors(module_name)) if module_name in self.dependency_graph else []

    def interned_modules(self) -> list[str]:
        """The modules whose sources are taken along, sorted."""
        return self._with(_Action.INTERN)

    def externed_modules(self) -> list[str]:
        """The modules that the reader has to have, sorted."""
        return self._with(_Action.EXTERN)

    def mocked_modules(self) -> list[str]:
        """The modules that are mocked, sorted."""
        return self._with(_Action.MOCK)

    def denied_modules(self) -> list[str]:
        """The modules that are needed and must not be there, sorted."""
        return self._with(_Action.DENY)

    def _with(self, action: _Action) -> list[str]:
        nodes = self.dependency_graph.nodes.items()
        return sorted(n for n, about in nodes if about.get("action") is action and not about.get("is_pickle"))

    # --- the archive --------------------------------------------------------------------------------------------------

    def __enter__(self) -> PackageExporter:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is None:
            self.close()

    def close(self) -> None:
        """Write the package. Nothing can be added afterwards.

        Raises PackagingError if something is wrong with a module, EmptyMatchError for a pattern that had to match; nothing is written then.
        """
        self._check_open()
        if any("error" in about for about in self.dependency_graph.nodes.values()):
            raise PackagingError(self.dependency_graph, debug=self.debug)
        for pattern in self._patterns:
            if not pattern.allow_empty and not pattern.was_matched:
                raise EmptyMatchError(message("package_empty_match", pattern=pattern.group))
        self._write_modules()
        self._write(".data/python_version", platform.python_version())
        self._write(".data/version", _VERSION)
        self._write("byteorder", sys.byteorder)
        records, self._records = self._open(), None
        if isinstance(self._target, (str, os.PathLike)):
            name = Path(os.fsdecode(self._target)).name
            files.replace(self._target, lambda file: _archived(file.write, name.rpartition(".")[0] or name, records))
        else:
            _archived(files.complete(self._target.write), "archive", records)
            if hasattr(self._target, "flush"):
                self._target.flush()

    def _write_modules(self) -> None:
        externs = []
        for module_name, about in list(self.dependency_graph.nodes.items()):
            action = about["action"]
            for hook in list(self._hooks.get(action, {}).values()):
                hook(self, module_name)
            if action is _Action.EXTERN:
                externs.append(module_name)
            elif action is _Action.MOCK:
                if "_mock.py" not in self._open():
                    self._write("_mock.py", _sources.mock_module())
                self._write(_sources.module_path(module_name, True), _sources.mocked(module_name))
            elif action is _Action.INTERN and not about.get("is_pickle"):
                self._write(_sources.module_path(module_name, about["is_package"]), about["source"])
        self._write(".data/extern_modules", "\n".join(externs) + "\n")

    def _write(self, path: str, content: Any) -> None:
        records = self._open()
        if path in records:
            raise AssertionError(message("package_written_twice", path=path))
        records[path] = content.encode("utf-8") if isinstance(content, str) else bytes(content)

    def _open(self) -> dict[str, Any]:
        if self._records is None:
            raise AttributeError(
                "'PackageExporter' object has no attribute 'zip_file': it is closed, and nothing can be added"
            )
        return self._records

    _check_open = _open

    def _reduce(self, obj: Any) -> tuple[Any, ...] | None:
        """The persistent id of an object that packages itself."""
        if isinstance(obj, type) or not hasattr(type(obj), "__reduce_package__"):
            return None
        if id(obj) not in self._reduced:
            made = ("reduce_package", id(obj), *obj.__reduce_package__(self))
            self._reduced[id(obj)] = obj, made  # the object is kept, and its number with it
        return self._reduced[id(obj)][1]


def _archived(write: Callable[[Any], Any], name: str, records: dict[str, bytes]) -> None:
    archive = Writer(write)
    for path, content in records.items():
        archive.add(f"{name}/{path}", content)
    archive.add(f"{name}/.data/serialization_id", archive.fingerprint().encode())
    archive.close()
