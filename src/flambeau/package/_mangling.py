"""The names that modules of packages have: `<torch_package_0>.a.b`, with a number for each importer, so that none meets another."""

from __future__ import annotations

import itertools
import re

_numbers = itertools.count()
_PREFIX = re.compile(r"<torch_package_\d+>")


class PackageMangler:
    """Gives the modules of one importer their names."""

    def __init__(self) -> None:
        self._parent = f"<torch_package_{next(_numbers)}>"

    def mangle(self, name: str) -> str:
        """The name with the importer's in front of it. AssertionError for an empty one."""
        assert len(name) != 0
        return f"{self._parent}.{name}"

    def demangle(self, mangled: str) -> str:
        """The name without the importer's, if it is this importer's."""
        return mangled.removeprefix(self._parent + ".")

    def parent_name(self) -> str:
        """The importer's own name."""
        return self._parent


def is_mangled(name: str) -> bool:
    """Whether a module of this name is an importer's."""
    return _PREFIX.match(name) is not None


def demangle(name: str) -> str:
    """The name without its importer's, whichever that is."""
    return name.partition(".")[2] if is_mangled(name) else name


def get_mangle_prefix(name: str) -> str:
    """The importer's name in it; the name itself if there is none."""
    return name.partition(".")[0] if is_mangled(name) else name
