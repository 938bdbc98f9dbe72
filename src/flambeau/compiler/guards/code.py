"""Whose code it is: the user's, which is followed, or a library's."""

from __future__ import annotations

import dis
import functools
import os
import sys
import sysconfig
from types import CodeType
from typing import Any

import jax
import numpy as np

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_SITE = os.path.dirname(os.path.dirname(os.path.abspath(jax.__file__))) + os.sep
# Datasets and samplers, distributions and transforms keep Python's objects, which the user changes
_FOLLOWED = (_HERE + "examples", os.path.join(_HERE, "utils", "data", ""), _HERE + "distributions" + os.sep)
_LIBRARIES = (
    _HERE,
    *(_SITE + name + os.sep for name in ("jax", "jaxlib", "ml_dtypes", "opt_einsum", "scipy")),
    os.path.dirname(os.path.abspath(np.__file__)) + os.sep,
    "<frozen importlib",
    "<frozen zipimport",
    "<frozen runpy",
    "<__array_function__",
)
_STANDARD = sysconfig.get_paths()["stdlib"] + os.sep
USER, LIBRARY, STANDARD = range(3)


@functools.lru_cache(maxsize=4096)
def kind_of_file(name: str) -> int:
    """Whose code a file holds: the user's, a library's that is not looked into, or Python's own."""
    if name.startswith(_FOLLOWED):
        return USER
    if name.startswith(_LIBRARIES):
        return LIBRARY
    if name.startswith("<frozen ") or (
        name.startswith(_STANDARD) and "site-packages" not in name and "dist-packages" not in name
    ):
        return STANDARD
    return USER


_PACKAGES = frozenset(
    (__name__.partition(".")[0], "torch", "jax", "jaxlib", "numpy", "ml_dtypes", "opt_einsum", "scipy")
)


def kind_of_code(code: CodeType, scope: dict[str, Any]) -> int:
    """The same for code; what was made from a text (a dataclass's methods, say) belongs to the module that it runs in."""
    name = code.co_filename
    if not name.startswith("<") or name.startswith(("<stdin>", "<ipython", "<frozen ")):
        return kind_of_file(name)
    package = str(scope.get("__name__", "")).partition(".")[0]
    if package in _PACKAGES:
        return LIBRARY
    return (
        STANDARD
        if (package in sys.stdlib_module_names and package != "__main__") or package.startswith("namedtuple_")
        else USER
    )


_STORES = (
    "STORE_ATTR",
    "STORE_SUBSCR",
    "STORE_GLOBAL",
    "STORE_DEREF",
    "DELETE_ATTR",
    "DELETE_SUBSCR",
    "DELETE_GLOBAL",
    "DELETE_DEREF",
)


@functools.lru_cache(maxsize=4096)
def _stores(code: CodeType) -> bool:
    return any(instruction.opname in _STORES for instruction in dis.get_instructions(code))


def compares_with_traces(cls: type) -> str | None:
    """The name of a class's method among those by which a container finds a key, if it changes something: our own looks would, too."""
    for name in ("__eq__", "__hash__"):
        for base in cls.__mro__:
            own = type.__getattribute__(base, "__dict__")
            if name in own:
                code = getattr(own[name], "__code__", None)
                if code is not None and kind_of_code(code, own[name].__globals__) == USER and _stores(code):
                    return name
                break
    return None
