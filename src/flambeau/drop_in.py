"""`import torch` means flambeau: an import hook that is one rename of the first component.

`install()` makes `torch.x.y` and `flambeau.x.y` the same module object (nothing is executed twice), and `torchvision`
the same as `flambeau.vision`, unless the real torchvision is there: its Python part then runs on flambeau.
`uninstall()` takes all of it back.
"""

from __future__ import annotations

import difflib
import dis
import functools
import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from . import _served
from .core.context import doors
from .core.context.homes import moved
from .core.dispatch.help import Told

RENAMED = {"torch": "flambeau", "torchvision": "flambeau.vision", "functorch": "flambeau.functorch"}
_SHOWN = ("flambeau.ops",)  # packages whose torch name is an object, the package's attribute of this name
# No module of torch's answers to these.
INSIDE = tuple(
    f"flambeau.{name}"
    for name in ("audio", "checkpoint", "cli", "core", "doctor", "drop_in", "native", "ops", "runtime", "processes")
)


_shims: set[str] = set()  # packages in this environment that have said that they only stand for flambeau


@functools.cache
def _gives_torchvision() -> bool:
    """Whether torchvision is flambeau's: unless the package itself is installed, or only torch has been put into the environment."""
    spec = PathFinder.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return not _shims
    return "flambeau" in Path(spec.origin).read_text()  # what `flambeau shim` puts in its place


def stands_for() -> dict[str, str]:
    """The packages that are flambeau's here, and which of its own they are."""
    return {name: ours for name, ours in RENAMED.items() if name != "torchvision" or _gives_torchvision()}


def _ours(name: str) -> str | None:
    """The flambeau module that a torch name stands for, or None for any other module."""
    head, dot, rest = name.partition(".")
    if head not in RENAMED or (head == "torchvision" and not _gives_torchvision()):
        return None
    return RENAMED[head] + dot + rest


def _theirs(name: str) -> str:
    """The torch name of a flambeau module; any other name comes back as it is."""
    for theirs, ours in reversed(stands_for().items()):
        if name == ours or name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    return name


@functools.cache
def _is_inside(name: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in INSIDE)


def _is_ours(value: Any) -> bool:
    """Whether a module's name is flambeau's own, and not something that it imports."""
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return home is None or home.partition(".")[0] in ("flambeau", *RENAMED)


def _modules() -> Iterator[tuple[str, ModuleType]]:
    """flambeau's loaded modules by their own names, the shortest first."""
    names = [n for n in list(sys.modules) if n == "flambeau" or n.startswith("flambeau.")]
    for name in sorted(names, key=lambda n: (n.count("."), n)):
        if isinstance(module := sys.modules[name], ModuleType):
            yield name, module


# --- the import hook -------------------------------------------------------------------------------------------------


class _AliasLoader(Loader):
    def __init__(self, ours: str):
        self.ours = ours

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.ours)
        if self.ours in _SHOWN:
            module = getattr(sys.modules["flambeau"], self.ours.rpartition(".")[2])
        self.spec = module.__spec__  # the import machinery is about to put the alias's there
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _dressed_when_loaded(spec: ModuleSpec | None) -> ModuleSpec | None:
    """The spec of a flambeau module that is imported late, whose classes shall have torch's names too."""
    if spec is not None and spec.loader is not None:
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            before = len(sys.modules)
            execute(module)
            if is_installed():
                _dress_module(spec.name, module)
                _dress_the_rest(before)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
    return spec


def _is_from_import() -> bool:
    """Whether the import machinery looks for the `name` of `from module import name`, and not of a call of `__import__`,
    which takes names that are not there for granted."""
    frame, found = sys._getframe(2), False
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        found = found or frame.f_code.co_name == "_handle_fromlist"
        frame = frame.f_back  # type: ignore[assignment]
    return found and frame is not None and dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("IMPORT_")


class _Aliases(MetaPathFinder):
    """Finds torch's modules, in front of all other finders, so that an installed torch is never met."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name.startswith("flambeau."):
            return _dressed_when_loaded(PathFinder.find_spec(name, path, target) or _served.FINDER.find_spec(name))
        ours = _ours(name)
        if ours is None:
            return None
        try:
            importlib.import_module(ours)
        except ModuleNotFoundError as error:
            # Only the module itself being absent is "not there yet"; what it fails to import is its own matter.
            if error.name not in (ours, name):
                raise
            # `from torch import name` passes over an error that bears the name it looked for, and says less itself
            raise ModuleNotFoundError(_explained(name), name=ours if _is_from_import() else name) from None
        sys.modules.pop(
            name, None
        )  # or else the import machinery would take what was put there meanwhile for its parent's doing
        return ModuleSpec(name, _AliasLoader(ours))


class _Absent(MetaPathFinder):
    """Stands last: `from torch import name` asks for a submodule `flambeau.name` when all else has failed."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        parent = name.rpartition(".")[0]
        if parent in _dressed and not name.rpartition(".")[2].startswith("__"):
            theirs = _theirs(name)
            raise ModuleNotFoundError(_explained(theirs), name=theirs if _is_from_import() else name)


_finders = (_Aliases(), _Absent())


def _explained(name: str) -> str:
    """The text of an error on a torch name that flambeau lacks, made when somebody reads it: most who ask go on without the name."""
    return Told("", functools.partial(_explain, name), name)


@functools.lru_cache(4096)
def _explain(name: str) -> str:
    """What to say of a torch name that flambeau lacks, with the nearest one that it has."""
    ours = _ours(name)
    if ours is not None and not _is_inside(ours) and _is_module(ours):
        return f"{name} is a module that has to be imported by its name: import {name}"
    row = _served.table().get((ours or name).rpartition(".")[0].removeprefix(_served.ROOT))
    if row is not None and row.why:
        return f"{name} is not in flambeau: {row.why}"
    nearest = _nearest(*name.rpartition(".")[::2])
    said = f"{name} is not in flambeau yet" + (f"; nearest: {nearest}" if nearest else "")
    if name.partition(".")[0] == "torchvision":
        said += "; the real torchvision has it and runs on flambeau: `pip install --no-deps torchvision`"
    return said


def _is_module(name: str) -> bool:
    """Whether there is a file for it."""
    parent = sys.modules.get(name.rpartition(".")[0])
    found = parent is not None and PathFinder.find_spec(name, getattr(parent, "__path__", None))
    return bool(found) or _served.is_served(name)


def _nearest(parent: str, name: str) -> str | None:
    """The same name elsewhere in the public namespace, or the most similar one in the same module, then in any."""
    elsewhere: dict[str, str] = {}
    for home, module in _modules():
        if not _is_inside(home):
            for public, value in vars(module).items():
                if not public.startswith("_") and _is_ours(value):
                    elsewhere.setdefault(public, f"{_theirs(home)}.{public}")
    if name in elsewhere:
        return elsewhere[name]
    here = sys.modules.get(_ours(parent) or parent)
    # far away more has to be alike
    for names, prefix, alike in ((dir(here) if here else [], f"{parent}.", 0.6), (list(elsewhere), "", 0.7)):
        folded = {n.lower(): n for n in names if not n.startswith("_")}
        if close := difflib.get_close_matches(name.lower(), folded, n=1, cutoff=alike):
            found = folded[close[0]]
            return prefix + found if prefix else elsewhere[found]
    return None


# --- names that modules and classes show -----------------------------------------------------------------------------

# Modules of Python that PyTorch's own import, so that code reaches them through those (`torch.serialization.pickle`).
_OF_PYTHON = frozenset(
    "abc argparse ast base64 builtins collections contextlib copy copyreg ctypes dataclasses difflib enum errno functools gc glob "
    "hashlib importlib inspect io itertools json keyword logging math operator os pickle platform pprint queue re shutil socket "
    "struct subprocess sys tarfile tempfile textwrap threading time traceback types typing uuid warnings weakref zipfile".split()
)
_CHANGED = ("__getattr__", "__path__", "__name__")  # attributes of a module
_unfinished: list[tuple[str, ModuleType]] = []  # modules that were being imported when the drop-in was installed
_dressed: dict[str, dict[str, Any]] = {}  # module name -> the attributes that it had before
_MOVED = (type, FunctionType, type(functools.lru_cache(len)))


@functools.cache
def _homes() -> dict[str, str]:
    """Where PyTorch has what is written elsewhere here: torch's module by our own place (`tools/homes.py` writes the table)."""
    lines = Path(__file__).with_name("homes.txt").read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {place: home for home, *places in rows for place in places}


def _dress() -> None:
    """Give every loaded module torch's name and its explaining `__getattr__`, and public functions and classes torch's module names."""
    for home, module in _modules():
        if getattr(module.__spec__, "_initializing", False):  # what has yet to be made has flambeau's names till then
            _unfinished.append((home, module))
        else:
            _dress_module(home, module)


def _dress_the_rest(since: int) -> None:
    """Dress what has been finished meanwhile, and modules that were made and not imported since there were so many."""
    # an import takes its own name out and puts it back
    for name in list(itertools.islice(sys.modules, max(since - 4, 0), None)):
        if not name.startswith("flambeau.") or name in _dressed or _is_inside(name):
            continue
        if not getattr((module := sys.modules[name]).__spec__, "_initializing", False):
            _dress_module(name, module)
    for home, module in _unfinished[:]:
        if not getattr(module.__spec__, "_initializing", False):
            _unfinished.remove((home, module))
            _dress_module(home, module)


def _dress_module(home: str, module: ModuleType) -> None:
    if home not in _dressed and not _is_inside(home):
        _dress_names(home, module)
    for name, value in list(vars(module).items()):
        if isinstance(value, _MOVED):
            _rename(value, name, home)


def _dress_names(home: str, module: ModuleType) -> None:
    before: dict[str, Any] = {name: vars(module)[name] for name in _CHANGED if name in vars(module)}
    own, theirs = before.get("__getattr__"), _theirs(home)

    def __getattr__(name: str) -> Any:
        if own is not None:
            try:
                return own(name)
            except AttributeError:
                pass
        if name.startswith("__"):
            raise AttributeError(f"module {theirs!r} has no attribute {name!r}")
        if name in _OF_PYTHON and "." in theirs:
            return importlib.import_module(name)
        if name == "torch" and theirs.startswith("torch."):
            return sys.modules["flambeau"]  # which all of PyTorch's modules import
        raise AttributeError(_explained(f"{theirs}.{name}"))

    _dressed[home] = before
    sys.modules.setdefault(theirs, module)  # where inspect and typing look for what a class needs
    module.__name__ = theirs
    # Only of a package does `from module import name` look for a submodule, which is where `_Absent` speaks.
    vars(module).setdefault("__path__", [])
    module.__getattr__ = __getattr__  # type: ignore[method-assign]


def _rename(value: Any, name: str, seen_in: str) -> None:
    """Let a function or class, seen under this name, say that it is where PyTorch has it."""
    written = value.__module__
    if type(written) is not str or not written.startswith("flambeau"):
        return
    home = _homes().get(f"{written[len('flambeau.') :]}.{value.__qualname__}")
    if home is None:
        if _is_inside(written) and (_is_inside(seen_in) or getattr(value, "__name__", None) != name):
            return
        home = _theirs(seen_in if _is_inside(written) else written)
    moved[value] = written
    value.__module__ = home
    if isinstance(value, type):
        for member in list(vars(value).values()):
            _rename_method(getattr(member, "__func__", member), written, home)


def _rename_method(function: Any, written: str, home: str) -> None:
    """The same for what a class that was written there has in it."""
    before = function.__module__ if type(function) is FunctionType else None
    if before and before.startswith("flambeau") and (before == written or not _is_inside(before)):
        moved[function] = before
        function.__module__ = home if before == written else _theirs(before)


# --- on and off ------------------------------------------------------------------------------------------------------


def is_installed() -> bool:
    """Whether `import torch` means flambeau now."""
    return _finders[0] in sys.meta_path


def install() -> None:
    """Make `import torch` and `import torchvision`, and all below them, mean flambeau in this process.

    Under the drop-in flambeau's functions and classes show torch's module names, and a name that is missing raises an error that
    names the nearest one. Calling it twice is harmless. Raises RuntimeError if the real torch is already imported.
    """
    if is_installed():
        return
    _gives_torchvision.cache_clear()
    for name in stands_for():
        if name in sys.modules:
            where = getattr(sys.modules[name], "__file__", None) or "no file"
            raise RuntimeError(
                f"the real {name} is already imported ({where}), so `import {name}` can no longer mean flambeau here: "
                "call flambeau.drop_in.install() before anything imports it, or use `flambeau run script.py`"
            )
    importlib.import_module("flambeau")
    sys.meta_path.insert(0, _finders[0])
    sys.meta_path.append(_finders[1])
    doors.in_workers.append(install)
    _dress()


def take_over(name: str) -> None:
    """What a package that only stands for flambeau (`flambeau shim`) says while it is imported by that name."""
    sys.modules.pop(name, None)
    _shims.add(name)
    install()
    sys.modules[name] = importlib.import_module(RENAMED[name])


def uninstall() -> None:
    """Take back what `install()` did. Who holds one of the modules keeps it."""
    if not is_installed():
        return
    for finder in _finders:
        sys.meta_path.remove(finder)
    doors.in_workers.remove(install)
    for name in [n for n in sys.modules if _ours(n) is not None]:
        del sys.modules[name]
    for value, module_name in moved.items():
        value.__module__ = module_name
    moved.clear()
    _unfinished.clear()
    for module_name, before in _dressed.items():
        module = sys.modules.get(module_name)
        for attribute in _CHANGED:
            if attribute in before:
                setattr(module, attribute, before[attribute])
            elif module is not None:
                vars(module).pop(attribute, None)
    _dressed.clear()
    _explain.cache_clear()
