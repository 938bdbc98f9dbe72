"""`torch.package`: refused. Its archives hold pickled Python for PyTorch's own importer, with the objects of its C++ library."""

from __future__ import annotations

from typing import Any, NoReturn

from .core.dispatch.help import explain_namespace as _explain_namespace

__all__ = [
    "Directory",
    "EmptyMatchError",
    "GlobGroup",
    "Importer",
    "ObjMismatchError",
    "ObjNotFoundError",
    "OrderedImporter",
    "PackageExporter",
    "PackageImporter",
    "PackagingError",
    "is_from_package",
    "sys_importer",
]


def _refused(name: str) -> NoReturn:
    raise NotImplementedError(
        f"torch.package.{name}: packages hold code for PyTorch's own importer; save a state_dict with torch.save, or a program "
        "with torch.export"
    )


class EmptyMatchError(Exception):
    """Raised by PyTorch for patterns that match nothing."""


class ObjNotFoundError(Exception):
    """Raised by PyTorch for objects that its importers do not find."""


class ObjMismatchError(Exception):
    """Raised by PyTorch for objects of the same name that are not the same."""


class PackagingError(Exception):
    """Raised by PyTorch for packages that can't be written."""


class _Refused:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refused(type(self).__name__)


class Directory(_Refused):
    """Refused."""


class GlobGroup(_Refused):
    """Refused."""


class Importer(_Refused):
    """Refused."""


class OrderedImporter(Importer):
    """Refused."""


class PackageExporter(_Refused):
    """Refused."""


class PackageImporter(Importer):
    """Refused."""


sys_importer: Importer = object.__new__(Importer)


def is_from_package(obj: Any) -> bool:
    """False: nothing here comes from a package."""
    return False


_explain_namespace(globals(), "torch.package")
