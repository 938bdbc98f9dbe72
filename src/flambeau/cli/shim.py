"""`flambeau shim`: a distribution named torch in an environment, a few files that hand over to flambeau.

With it `import torch` means flambeau in every process of the environment (notebooks, workers, subprocesses), and pip takes
packages' requirements of torch for met.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.metadata
import os
import shutil
import sys
import sysconfig
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from flambeau.drop_in import INSIDE, RENAMED

VERSIONS = {"torch": "2.13.0+flambeau", "torchvision": "0.28.0+flambeau"}
_BESIDE = {"torch": ("functorch",)}  # what else a distribution has in the folder of packages
_SUMMARY = {"torch": "flambeau, by the name of torch", "torchvision": "flambeau.vision, by the name of torchvision"}

_PACKAGE = '''"""{name} is flambeau here: see `flambeau shim status`."""

from flambeau import drop_in

drop_in.take_over(__name__)
'''


class Refused(Exception):
    """The environment is not one that a shim may be put into; the text says why and what to do."""


class Status(NamedTuple):
    """What an environment has by one of the names."""

    name: str
    version: str | None  # None: nothing
    is_shim: bool
    place: str


def folder() -> Path:
    """Where this environment keeps its packages."""
    return Path(sysconfig.get_paths()["purelib"])


def status(name: str, where: Path | None = None) -> Status:
    """What there is by this name, in the environment or in a folder of packages."""
    found = next(iter(importlib.metadata.distributions(name=name, path=[str(where)] if where else sys.path)), None)
    if found is not None:
        place = str(found.locate_file(name))
        return Status(name, found.version, found.version == VERSIONS[name], place)
    loose = [
        Path(entry) / name for entry in ([where] if where else sys.path) if entry and (Path(entry) / name).is_dir()
    ]
    return Status(name, "unknown" if loose else None, False, str(loose[0]) if loose else "")


def install(names: tuple[str, ...], where: Path | None = None) -> list[Path]:
    """Put the shims there, and return their folders. Raises Refused, with nothing done, where a real one is installed."""
    target = where or folder()
    for name in names:
        held = status(name, where)
        if held.version is not None and not held.is_shim:
            raise Refused(
                f"the real {name} ({held.version}) is installed in {held.place}: `pip uninstall {name}` first, or make another "
                "environment. `flambeau run script.py` needs neither"
            )
    if not target.is_dir():
        raise Refused(f"{target} is not a folder")
    return [_install(name, target, where is None and sys.prefix != sys.base_prefix) for name in names]


def pip_settings() -> Path:
    """The file in which pip looks for what holds in this environment alone."""
    return Path(sys.prefix) / ("pip.ini" if sys.platform == "win32" else "pip.conf")


def holds_pip() -> bool:
    """Whether pip is told to keep the shim. Without that, a package that needs a newer torch replaces it by the real one."""
    settings = ConfigParser(interpolation=None)
    settings.read(pip_settings())
    return _information("torch") in unquote(settings.get("install", "constraint", fallback=""))


def remove(names: tuple[str, ...], where: Path | None = None) -> list[Path]:
    """Take the shims away again, as `pip uninstall` does; the folders that were removed."""
    target = where or folder()
    removed: list[Path] = []
    for name in names:
        if status(name, where).is_shim:
            for path in (target / package for package in (name, *_BESIDE.get(name, ()), _information(name))):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
            if name == "torch" and where is None and _is_ours(pip_settings()):
                pip_settings().unlink()
                removed.append(pip_settings())
    return removed


_MARK = "# flambeau shim\n"


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text().startswith(_MARK)


def _information(name: str) -> str:
    return f"{name}-{VERSIONS[name]}.dist-info"


def _keep(target: Path, files: dict[str, str]) -> str | None:
    """Tell pip to keep the shim, where it has no settings of its own yet: the line that records that."""
    path, constraints = pip_settings(), f"{_information('torch')}/constraints.txt"
    files[constraints] = f"torch=={VERSIONS['torch']}\n"
    if path.exists() and not _is_ours(path):
        return None
    text = f"{_MARK}[install]\nconstraint = {(target / constraints).as_uri()}\n"
    path.write_text(text)
    relative = os.path.relpath(path, target).replace(os.sep, "/")
    return f"{relative},{_digest(text)},{len(text.encode())}"


def _install(name: str, target: Path, keep: bool = False) -> Path:
    needs = "flambeau" if name == "torch" else f"torch=={VERSIONS['torch']}"
    information, beside = _information(name), _BESIDE.get(name, ())
    files = {
        **{f"{package}/__init__.py": _PACKAGE.format(name=package) for package in (name, *beside)},
        **_typed(name),
        f"{information}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSIONS[name]}\nSummary: {_SUMMARY[name]}\n"
            f"Requires-Python: >=3.11\nRequires-Dist: {needs}\n"
        ),
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: flambeau\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/INSTALLER": "flambeau\n",
        f"{information}/top_level.txt": "".join(f"{package}\n" for package in (name, *beside)),
    }
    kept = _keep(target, files) if keep and name == "torch" else None
    record = [f"{path},{_digest(text)},{len(text.encode())}" for path, text in files.items()] + ([kept] if kept else [])
    record.append(f"{information}/RECORD,,")
    files[f"{information}/RECORD"] = "\n".join(record) + "\n"
    for path, text in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text)
    return target / name


def _typed(name: str) -> dict[str, str]:
    """The files in which a type checker, which follows no import hook, finds what flambeau's modules have, by torch's names.

    Python itself never runs them, as the hook stands before them. The package's own is a stub, since its `.py` sets the hook.
    """
    ours = RENAMED[name]
    root = Path(__file__).resolve().parent.parent.joinpath(*ours.split(".")[1:])
    stubs = root.parent / "flambeau-stubs" if name == "torch" else root
    files = {f"{name}/py.typed": ""}
    hidden: dict[str, set[str]] = {}  # the names that submodules lose to a function in their package
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        module = ".".join((ours, *place.with_suffix("").parts)).removesuffix(".__init__")
        apart = (*INSIDE, *(own for theirs, own in RENAMED.items() if theirs not in ("torch", name)))
        if path.stem == "__main__" or any(f"{module}.".startswith(f"{other}.") for other in apart):
            continue
        stub = stubs / place.with_suffix(".pyi")
        source = ast.parse((stub if stub.is_file() else path).read_text())
        lines = _forwarded(module, source)
        there = f"{name}/{place.as_posix()}" + ("i" if module == ours else "")
        hidden[there] = {
            alias.asname or alias.name
            for statement in source.body
            if isinstance(statement, ast.ImportFrom) and statement.module
            for alias in statement.names
        }
        files[there] = "".join(f"{line}\n" for line in lines)
    for there in list(files):
        package, _, module = there.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")
        holder = f"{package}/__init__.py" + ("i" if package == name else "")
        if holder in files and not module.startswith(("_", "py.typed")) and module not in hidden[holder]:
            files[holder] += f"from . import {module} as {module}\n"
    return files


def _forwarded(module: str, source: ast.Module) -> list[str]:
    """The lines of a module that has what another module defines, also what `*` leaves out.

    A checker reads no `__all__` that is computed, and takes it for empty: then what is imported is named, too.
    """
    names: set[str] = set()
    imported: set[str] = set()
    computed = False
    for statement in source.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found = {target.id for target in targets if isinstance(target, ast.Name)}
            names.update(found)
            computed |= "__all__" in found and not isinstance(statement.value, ast.List | ast.Tuple)
        elif isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
            imported.update(alias.asname or alias.name for alias in statement.names)
    if computed:
        names.update(name for name in imported if not name.startswith("_"))
    left_out = names - {"__all__"} if "__all__" in names else {name for name in names if name.startswith("_")}
    return [f"from {module} import *", *(f"from {module} import {name} as {name}" for name in sorted(left_out))]


def _digest(text: str) -> str:
    """A file's hash as wheels record it (PEP 376)."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
