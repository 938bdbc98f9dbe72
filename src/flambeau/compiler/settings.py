"""Settings of PyTorch's compiler by their names, in modules that take no others: `torch._dynamo.config`, `torch._inductor.config`, ...

The names are those of `settings.txt`. A few have an effect here (`_EFFECTS`); setting another one to what it was not is told in a
warning, or refused in a module that says so.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ..core.context.warned import warn, warn_once
from ..core.dispatch.messages import message
from ..runtime.settings import Telling
from .stance import limits, stance

_DYNAMO = "torch._dynamo.config."
_EFFECTS: dict[str, tuple[Any, str]] = {
    f"{_DYNAMO}recompile_limit": (limits, "programs"),
    f"{_DYNAMO}accumulated_recompile_limit": (limits, "signatures"),
    f"{_DYNAMO}error_on_recompile": (limits, "one_program"),
    f"{_DYNAMO}fail_on_recompile_limit_hit": (limits, "strict"),
    f"{_DYNAMO}disable": (stance, "disabled"),
}
_HERE = {
    f"{_DYNAMO}suppress_errors": True,
    f"{_DYNAMO}automatic_dynamic_shapes": False,
    f"{_DYNAMO}optimize_ddp": False,
}
_INSTEAD = {"torch.compiler.config.force_disable_caches": "start the process with FLAMBEAU_CACHE=0"}
_values: dict[str, Any] = {}  # what was set, or asked for, by the whole name


class _Alias(str):
    """The setting that another name stands for."""


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    """The settings of each module, and what they are at first."""
    found: dict[str, dict[str, Any]] = {}
    here: dict[str, Any] = {}
    for line in Path(__file__).with_name("settings.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            here = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, sign, value = line.split(" ", 2)
            if sign == ">":
                here[name] = _Alias(value)
            else:
                here[name] = set() if value == "set()" else None if value == "?" else ast.literal_eval(value)
    return found


def _found(module: str, name: str) -> tuple[str, str]:
    """The module and name that a setting has in truth. AttributeError if there is none."""
    known = _table()[module]
    if name not in known:
        raise AttributeError(f"{module}.{name} does not exist")
    if isinstance(known[name], _Alias):
        module, _, name = known[name].rpartition(".")
    return module, name


def get(module: str, name: str) -> Any:
    """What a setting is. AttributeError if there is none of that name."""
    module, name = _found(module, name)
    whole = f"{module}.{name}"
    if whole in _EFFECTS:
        return getattr(*_EFFECTS[whole])
    return _values.setdefault(whole, _table()[module][name])


def put(module: str, name: str, value: Any, refuse: bool = False) -> None:
    """Set a setting. What has no effect is told, or refused (NotImplementedError). AttributeError if there is none of that name."""
    before, told = get(module, name), f"{module}.{name}"
    module, name = _found(module, name)
    whole = f"{module}.{name}"
    if whole in _EFFECTS:
        setattr(*_EFFECTS[whole], value)
    elif value != before and refuse:
        cure = f"; {_INSTEAD[told]}" if told in _INSTEAD else ""
        raise NotImplementedError(f"{told} = {value!r}: here it is always {before!r}{cure}")
    else:
        _values[whole] = value
        if value not in (before, _table()[module][name], _HERE.get(whole, before)):
            warn_once(f"{told} = {value!r} changes nothing here: XLA compiles, and has settings of its own (XLA_FLAGS)")


class _Group(Telling):
    """The settings whose names begin alike (`config.triton`)."""

    def __init__(self, module: Settings, prefix: str):
        self.__dict__.update(_module=module, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, f"{self._prefix}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, f"{self._prefix}.{name}", value)


class Settings(Telling, ModuleType):
    """A module of settings: they are its attributes, and it has no others."""

    _refuses = False

    @property
    def _public(self) -> str:
        return self.__name__.replace("flambeau", "torch", 1)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name not in _table()[self._public] and any(known.startswith(f"{name}.") for known in _table()[self._public]):
            return _Group(self, name)
        return get(self._public, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):  # what the import system says of a module
            super().__setattr__(name, value)
        else:
            put(self._public, name, value, self._refuses)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_table()[self._public]})

    def patch(self, arg1: Any = None, arg2: Any = None, **kwargs: Any) -> _Patch:
        """A context, or a decorator, in which settings are others: `patch("name", value)`, `patch({...})` or `patch(name=value)`."""
        if arg1 is not None and not isinstance(arg1, (str, dict)):
            raise AssertionError(message("config_patch_of_no_dict"))
        return _Patch(self, {arg1: arg2} if isinstance(arg1, str) else {**(arg1 or {}), **kwargs})

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, other names of the same left out."""
        return {name: getattr(self, name) for name, v in _table()[self._public].items() if not isinstance(v, _Alias)}

    shallow_copy_dict = get_config_copy = get_serializable_config_copy = save_config_portable = to_dict

    def save_config(self) -> bytes:
        """`to_dict` as bytes."""
        return pickle.dumps(self.to_dict(), protocol=2)

    def load_config(self, maybe_pickled_config: bytes | dict[str, Any]) -> None:
        """Set what `save_config` or `to_dict` gave. Names that are no settings are told in a warning. Bytes are unpickled."""
        given = maybe_pickled_config
        for name, value in (pickle.loads(given) if isinstance(given, bytes) else given).items():
            if name in _table()[self._public]:
                setattr(self, name, value)
            else:
                warn(f"key {name} with value {value} is not understood by this config")

    def codegen_config(self) -> str:
        """What was set to another value, as lines of Python."""
        known = _table()[self._public]
        changed = {n: v for n, v in self.to_dict().items() if v != known[n]}
        return "\n".join(f"{self._public}.{name} = {value!r}" for name, value in changed.items())


class Refusing(Settings):
    """A module of settings that refuses what would have no effect."""

    _refuses = True


class _Patch(contextlib.ContextDecorator):
    def __init__(self, module: Settings, changes: dict[str, Any]):
        self._module, self._changes = module, changes
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        before = {name: getattr(self._module, name) for name in self._changes}
        for name, value in self._changes.items():
            setattr(self._module, name, value)
        self._before.append(before)

    def __exit__(self, *error: object) -> None:
        for name, value in self._before.pop().items():
            setattr(self._module, name, value)


def install(name: str, kind: type[Settings] = Settings) -> None:
    """Make a module one of settings."""
    sys.modules[name].__class__ = kind


# --- options of `compile` -----------------------------------------------------------------------------------------------

MODES = "default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune"


def options() -> list[str]:
    """The names of the options of `compile`."""
    return [name for name, value in _table()["torch._inductor.config"].items() if not isinstance(value, _Alias)]


def check_mode(mode: str | None) -> None:
    """RuntimeError for a mode that is none."""
    if mode is not None and mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")


def check_options(given: dict[str, Any]) -> None:
    """RuntimeError for an option that is none, or of another type; those that would change something are told in a warning."""
    known = _table()["torch._inductor.config"]
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in known:
            raise RuntimeError(f"Unexpected optimization option {key}, known options are {options()}")
        first = known[name]
        if first is not None and not isinstance(first, _Alias) and type(value) is not type(first):
            kinds = type(value).__name__, type(first).__name__
            raise RuntimeError(f"Unexpected type of attr {key}, got {kinds[0]} should be {kinds[1]}")
        if value != first:
            warn_once(
                f"torch.compile(options={{{key!r}: {value!r}}}) changes nothing here: XLA compiles, with XLA_FLAGS' settings"
            )
