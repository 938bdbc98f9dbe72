"""Modules that are no files: those of PyTorch's that only show names of others, and those of which every name is refused when used.

Both stand in `served.txt`. A finder that is asked after all others makes them when they are imported.

Which of the two serves a program better, names that are refused or no module at all? A module that programs import without asking
(type hints, `isinstance`, a base class, a part they seldom use) is here and refuses, so that the rest of the program runs. A module whose
import or presence programs take for an answer (`try: import ... except ImportError`, `hasattr(package, "module")`, `find_spec`), and
which has another way without it, must not be importable: it stands below a line `~ why`, and nothing else is done with it. Private names
(`_name`) of refused modules are missing, so that a `try` around these takes the other way too.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .runtime.absent import refused

ROOT = "flambeau."


class Row(NamedTuple):
    """A module: where its names come from, or why they are refused; and the names."""

    source: str
    why: str
    names: tuple[str, ...]


@functools.cache
def _read() -> tuple[dict[str, Row], dict[str, str]]:
    """The rows of `served.txt` by module, without `flambeau.`, and the modules that must not be importable, with why."""
    rows: dict[str, Row] = {}
    without: dict[str, str] = {}
    why, kind = "", ""
    for line in Path(__file__).with_name("served.txt").read_text("utf-8").splitlines():
        if line[:1] in ("!", "~"):
            kind, why = line[0], line[1:].strip()
        elif line and line[0] != "#":
            head, _, names = line.partition(":")
            module, _, source = (part.strip() for part in head.partition("="))
            if kind == "~":
                without[module] = why
            else:
                rows[module] = Row(source, "" if source else why, tuple(names.split()))
    for module in list(rows):  # a package is there, if a module in it is
        while "." in module:
            module = module.rpartition(".")[0]
            rows.setdefault(module, Row("", "", ()))
    return rows, without


def table() -> dict[str, Row]:
    """The modules that are made here."""
    return _read()[0]


def without() -> dict[str, str]:
    """The modules that must not be importable, and why."""
    return _read()[1]


def is_served(name: str) -> bool:
    """Whether a module of this name is made here."""
    return name.startswith(ROOT) and name.removeprefix(ROOT) in table()


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        path = module.__spec__.name.removeprefix(ROOT)
        row = table()[path]
        made = vars(module)
        made["__all__"] = list(row.names)
        if row.source:
            module.__doc__ = f"The names of torch.{row.source} that PyTorch has in torch.{path}."
            source = importlib.import_module(ROOT + row.source)
            made.update({name: getattr(source, name) for name in row.names})
        elif row.why:
            module.__doc__ = f"Refused by name: {row.why}."
            made.update({name: refused(name, ROOT + path, row.why) for name in row.names})
            made["__getattr__"] = functools.partial(_without, path, row.why)


def _without(module: str, why: str, name: str) -> Any:
    """What such a module says of a name that it has not."""
    raise AttributeError(
        f"module 'torch.{module}' has no attribute {name!r}" + ("" if name[:2] == "__" else f": {why}")
    )


class Served(MetaPathFinder):
    """Finds the modules of the table."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if not is_served(name):
            return None
        return ModuleSpec(name, _Loader(), is_package=any(m.startswith(f"{name.removeprefix(ROOT)}.") for m in table()))


FINDER = Served()


def install() -> None:
    """Ask the finder too, after all others."""
    if FINDER not in sys.meta_path:
        sys.meta_path.append(FINDER)
