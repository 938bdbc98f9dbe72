"""How functions, types and values are called in printed graphs and in generated code: by torch's names."""

from __future__ import annotations

import builtins
import inspect
import keyword
import math
import operator
import re
import sys
from collections import defaultdict
from types import FunctionType, GenericAlias, ModuleType, UnionType
from typing import Any, NamedTuple

from ..core.array.devices import device
from ..core.context import overrides as _overrides
from ..utils import _pytree as pytree
from . import _pytree as fx_pytree

_PACKAGE = __name__.partition(".")[0]

MAGIC = {
    "eq": "{} == {}", "ne": "{} != {}", "lt": "{} < {}", "gt": "{} > {}", "le": "{} <= {}", "ge": "{} >= {}",
    "pos": "+{}", "neg": "-{}", "invert": "~{}",
}  # fmt: skip
REFLECTABLE = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "floordiv": "{} // {}", "truediv": "{} / {}", "div": "{} / {}",
    "mod": "{} % {}", "pow": "{} ** {}", "lshift": "{} << {}", "rshift": "{} >> {}", "and_": "{} & {}", "or_": "{} | {}",
    "xor": "{} ^ {}", "getitem": "{}[{}]", "matmul": "{} @ {}",
}  # fmt: skip
MAGIC.update(REFLECTABLE)
IN_PLACE = {
    f"i{name}": f"{{}} {sign}= {{}}"
    for name, sign in {
        "add": "+", "and": "&", "floordiv": "//", "lshift": "<<", "mod": "%", "mul": "*", "matmul": "@", "or": "|", "pow": "**",
        "rshift": ">>", "sub": "-", "truediv": "/", "xor": "^",
    }.items()
} | {"setitem": "{}[{}] = {}"}  # fmt: skip


def package() -> ModuleType:
    """flambeau itself, which generated code calls `torch`."""
    return sys.modules[_PACKAGE]


class Known(NamedTuple):
    """A name that all generated code may use, and the line that makes it."""

    import_str: str
    obj: Any


KNOWN: dict[str, Known] = {
    "inf": Known("from math import inf", math.inf),
    "nan": Known("from math import nan", math.nan),
    "NoneType": Known("NoneType = type(None)", type(None)),
    "torch": Known("import torch", sys.modules[_PACKAGE]),
    "device": Known("from torch import device", device),
    "fx_pytree": Known("import torch.fx._pytree as fx_pytree", fx_pytree),
    "pytree": Known("import torch.utils._pytree as pytree", pytree),
}

_TAKEN: dict[str, Any] = {word: object() for word in keyword.kwlist} | vars(builtins)
_SUFFIX = re.compile(r"(.*)_(\d+)")


def of_torch(module: str) -> str:
    """A module's name with `torch` where flambeau's own stands."""
    return "torch" + module.removeprefix(_PACKAGE) if module.partition(".")[0] == _PACKAGE else module


class Namespace:
    """Names in use in one graph; a name that is taken gets a number."""

    def __init__(self) -> None:
        self._obj_to_name: dict[Any, str] = {}
        self._used_names: set[str] = set()
        self._base_count: dict[str, int] = defaultdict(int)

    def create_name(self, candidate: str, obj: Any) -> str:
        """A name like `candidate` that nobody has, for `obj` (which gets the same one when it asks again)."""
        if obj is not None and obj in self._obj_to_name:
            return self._obj_to_name[obj]
        name = re.sub("[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        if name[0].isdigit():
            name = f"_{name}"
        numbered = _SUFFIX.fullmatch(name)
        base, number = (numbered[1], int(numbered[2])) if numbered else (name, self._base_count[name])
        if not numbered and number and name in self._used_names:
            name = f"{base}_{number}"
        while name in self._used_names or self._stands_for_another(name, obj):
            number += 1
            name = f"{base}_{number}"
        self._used_names.add(name)
        self._base_count[base] = number
        if obj is not None:
            self._obj_to_name[obj] = name
        return name

    def associate_name_with_obj(self, name: str, obj: Any) -> None:
        """Note whose name it is."""
        held = self._obj_to_name.setdefault(obj, name)
        assert held == name, "obj is already associated"

    def _rename_object(self, obj: Any, name: str) -> None:
        assert obj in self._obj_to_name
        self._obj_to_name[obj] = name
        self._used_names.add(name)

    @staticmethod
    def _stands_for_another(name: str, obj: Any) -> bool:
        if name in KNOWN:
            return KNOWN[name].obj is not obj
        return name in _TAKEN and _TAKEN[name] is not obj


def snake_case(name: str) -> str:
    """`ConvTranspose2d` as `conv_transpose2d`."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


# --- functions and types ----------------------------------------------------------------------------------------------


_NATIVE_NAMES = {"logsigmoid": "log_sigmoid"}


def _face_name(func: Any) -> str | None:
    """The name under which PyTorch's own code has a function: what is in C++ there lies in `torch._C`."""
    name = _overrides.resolve(func)
    if name is None or getattr(func, "in_python", False):
        return name
    space, _, own = name.rpartition(".")
    if space == "torch.nn.functional":
        own = _NATIVE_NAMES.get(own, own)
        return f"torch.{own}" if getattr(package(), own, None) is func else f"torch._C._nn.{own}"
    if space in ("torch.fft", "torch.linalg", "torch.special"):
        short = space.rpartition(".")[2]
        return f"torch._C._{short}.{short}_{own}"
    return name


def _public_class(obj: type) -> str:
    if obj.__module__.partition(".")[0] in (_PACKAGE, "torch") and getattr(package(), obj.__name__, None) is obj:
        return f"torch.{obj.__name__}"
    return f"{of_torch(obj.__module__)}.{obj.__name__}"


_OVERLOADS = _PACKAGE + "._ops."


def qualified_name(func: Any) -> str:
    """The dotted name by which a function or class is found. RuntimeError if it has none."""
    name: Any = getattr(func, "__name__", "")
    if getattr(builtins, name, None) is func:
        return name
    if found := _face_name(func):
        return found
    if isinstance(func, type):
        return _public_class(func)
    if hasattr(func, "_qualified_op_name"):
        return "torch.ops." + func._qualified_op_name.replace("::", ".")
    if not hasattr(func, "__name__"):
        return str(func) if str(func).isidentifier() else f"{type(func).__name__}"
    if name == "<lambda>":
        name = _source_of_lambda(func)
    module = getattr(func, "__module__", None)
    if module is None:
        raise RuntimeError(f"cannot find module for {func}")
    if of_torch(module) == "torch" or (
        of_torch(module).startswith("torch.") and getattr(package(), name, None) is func
    ):
        return f"torch.{name}"
    if module.startswith(_OVERLOADS):
        return f"torch.ops.{module.removeprefix(_OVERLOADS)}.{name}"
    return f"{of_torch(module)}.{name}"


def _source_of_lambda(func: Any) -> str:
    try:
        return inspect.getsource(func).split("=")[0].strip()
    except (OSError, TypeError):
        return "<lambda>"


def is_from_torch(obj: Any) -> bool:
    """Whether generated code can reach an object by its dotted name from `torch`."""
    module = getattr(obj, "__module__", None)
    if module is None:
        return False
    head = module.partition(".")[0]
    if head not in (_PACKAGE, "torch"):
        return False
    name = qualified_name(obj)
    return obj is not device and _reach(name) is obj


def _reach(name: str) -> Any:
    found: Any = package()
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def type_repr(obj: Any) -> str:
    """A type as it is printed after a node's name."""
    if isinstance(obj, type) and not isinstance(obj, GenericAlias):
        return obj.__qualname__ if obj.__module__ == "builtins" else _public_type(obj)
    if obj is ...:
        return "..."
    if isinstance(obj, FunctionType):
        return obj.__name__
    return re.sub(rf"\b{_PACKAGE}\.[\w.]+", lambda m: _printed(m[0]), repr(obj))


def _public_type(obj: type) -> str:
    known = _public_class(obj)
    return known if known == f"torch.{obj.__name__}" else f"{of_torch(obj.__module__)}.{obj.__qualname__}"


def _printed(dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return _public_type(found) if isinstance(found, type) else of_torch(dotted)


def is_generic(obj: Any) -> bool:
    """Whether a type has arguments, such as `list[int]`."""
    return isinstance(obj, (GenericAlias, UnionType)) or hasattr(obj, "__origin__")


def printed_target(target: Any) -> str:
    """A function's name in a printed graph."""
    if not callable(target):
        return str(target)
    if isinstance(target, type) and target.__module__ != "builtins":
        return qualified_name(target)
    if not hasattr(target, "__name__"):
        return qualified_name(target)
    name: Any = target.__name__
    for module in (builtins, operator):
        if getattr(module, name, None) is target:
            return f"{module.__name__}.{name}"
    return qualified_name(target)
