"""Which functions in C are known to be pure: all others are refused before they run."""

from __future__ import annotations

from typing import Any

# Functions in C that give the same for the same arguments. What else is in C is refused: nobody can see what it does.
_PURE_MODULES = frozenset(
    "math cmath _operator operator itertools functools _functools _collections collections numpy _abc abc _struct _string "
    "_typing typing types re _sre copy copyreg enum _json binascii zlib _codecs unicodedata weakref _weakref _stat "
    "numpy.linalg numpy.fft jaxlib _jax _weakrefset _warnings warnings _contextvars _heapq heapq _bisect bisect".split()
)
_PURE = frozenset(
    "abs all any ascii bin bool bytes bytearray callable chr classmethod complex delattr dict dir divmod enumerate filter float "
    "format frozenset getattr globals hasattr hash hex id int isinstance issubclass iter len list locals map max min next "
    "object oct ord pow property range repr reversed round set setattr slice sorted staticmethod str sum super tuple type "
    "vars zip memoryview __build_class__ __import__ BaseException Exception".split()
)
_IMPURE = {
    "print": "prints",
    "input": "asks for input",
    "open": "opens a file",
    "exec": "runs a text",
    "eval": "runs a text",
}
# What they give is not looked into
HARMLESS = frozenset(
    {
        ("posix", "fspath"),
        ("posix", "_path_normpath"),
        ("posix", "_path_splitroot_ex"),
        ("sys", "intern"),
        ("sys", "_getframe"),
        ("_thread", "get_ident"),
        ("sys", "exc_info"),
    }
)
# What reads and writes files
_FILES = frozenset(
    "load save savez savez_compressed loadtxt savetxt genfromtxt fromregex fromfile tofile dump memmap open_memmap DataSource".split()
)


def touches_files(function: Any, name: str) -> bool:
    """Whether a function, method or class of NumPy's or SciPy's reads or writes files."""
    kind = getattr(function, "__objclass__", None) or type(getattr(function, "__self__", None))
    home = str(getattr(function, "__module__", None) or kind.__module__)
    return home.startswith("scipy.io") or (name in _FILES and home.startswith("numpy"))


def check_known(watcher: Any, module: str, name: str) -> None:
    """Refuse a function of which nobody knows that it is pure."""
    if module == "builtins" and name in _IMPURE:
        watcher.refuse(f"it {_IMPURE[name]} ({name}): do that outside, or leave it as it is")
    if (module, name) in HARMLESS:
        return
    if (module == "builtins" and name not in _PURE and not name.startswith("__")) or (
        module != "builtins" and module.partition(".")[0] not in _PURE_MODULES and module not in _PURE_MODULES
    ):
        watcher.refuse(f"it calls {module}.{name}, of which nobody can see what it does")
    if module == "numpy.random" or module.startswith("numpy.random"):
        watcher.refuse(f"it draws from NumPy's random numbers ({name})")
