"""Where the sources of modules are, and where they lie in a package."""

from __future__ import annotations

import importlib
import importlib.machinery
import linecache
import pkgutil
import sys
from types import ModuleType
from typing import Any

from ..checkpoint.names import PACKAGES, here
from ._errors import PackagingErrorReason
from .importer import Importer, sys_importer

_OWN = __name__.partition(".")[0]


def resource_path(package: str, resource: str) -> str:
    """Where a file of a package lies. ValueError for a name that is more than a file's."""
    return f"{package.replace('.', '/')}/{file_name(resource)}"


def file_name(resource: object) -> str:
    """The name of a file. ValueError if it is a path."""
    name = str(resource)
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"{resource!r} must be only a file name")
    return name


def module_path(module_name: str, is_package: bool) -> str:
    """Where a module's source lies."""
    path = module_name.replace(".", "/")
    return f"{path}/__init__.py" if is_package else f"{path}.py"


def is_given(module_name: str) -> bool:
    """Whether the reader of a package has a module anyway: torch, and what comes with Python."""
    first = module_name.partition(".")[0]
    return first in ("torch", _OWN) or first in sys.stdlib_module_names


def environment_module(name: str) -> ModuleType:
    """A module of the environment. torch's are flambeau's, whether or not `import torch` means flambeau in this process."""
    if name.partition(".")[0] in PACKAGES:
        stands = getattr(sys.modules.get(name.partition(".")[0]), "__file__", None)
        if stands != sys.modules[_OWN].__file__ and name.partition(".")[0] == "torch":
            return importlib.import_module(here(name))
    return importlib.import_module(name)


def imported(module_name: str, importer: Importer) -> ModuleType:
    """A module that an exporter follows. Of torch's, flambeau's is looked at."""
    if importer is sys_importer or module_name.partition(".")[0] == "torch":
        return environment_module(module_name)
    return importer.import_module(module_name)


def source_of(module: ModuleType) -> tuple[str | None, PackagingErrorReason | None]:
    """The source of a module, or why there is none."""
    path = getattr(module, "__file__", None)
    if path is None:
        return None, PackagingErrorReason.NO_DUNDER_FILE
    if path.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
        return None, PackagingErrorReason.IS_EXTENSION_MODULE
    linecache.checkcache(path)
    source: Any = "".join(linecache.getlines(path, vars(module)))
    if source:
        return source, None
    loader: Any = getattr(module, "__loader__", None)
    try:
        source = None if loader is None else loader.get_source(getattr(module.__spec__, "name", module.__name__))
    except (AttributeError, ImportError, OSError):
        source = None
    return source, PackagingErrorReason.SOURCE_FILE_NOT_FOUND if source is None else None


def mock_module() -> bytes:
    """The source of the module that mocked ones take their objects from."""
    found = pkgutil.get_data(__package__, "_mock.py")
    assert found is not None
    return found


def mocked(module_name: str) -> str:
    """The source of a mocked module."""
    return (
        f'"""In the place of {module_name}, which was left out of this package."""\n\nfrom _mock import MockedObject\n\n\n'
        'def __getattr__(name):\n    return MockedObject(f"{__name__}.{name}", _suppress_err=True)\n'
    )
