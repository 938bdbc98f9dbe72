"""Names in torch's pickles, and what they are here.

Public modules have torch's module paths, so nearly all is one rename of the first component. The table holds the rest.
"""

from __future__ import annotations

import importlib
import sys
from types import FunctionType, ModuleType
from typing import Any

from ..core.array import dtypes, formats
from ..core.array.devices import device
from ..core.array.size import Size
from ..core.autograd.engine import RemovableHandle
from ..core.autograd.function import Function
from ..core.tensor.tensor import Tensor
from ..ops.making import quantized
from . import rebuild
from .storages import STORAGE_TYPES, UNTYPED

PACKAGES = {"torch": "flambeau", "torchvision": "flambeau.vision"}
# what Python 2 called its builtins, which pickles of protocol 2 and below still do
_PYTHON_2 = {
    ("__builtin__", "long"): ("builtins", "int"),
    ("__builtin__", "unicode"): ("builtins", "str"),
    ("__builtin__", "xrange"): ("builtins", "range"),
    ("copy_reg", "_reconstructor"): ("copyreg", "_reconstructor"),
}
# functions that torch has in C and which have another path here
_C_MODULES = {
    "torch._C._nn": ("flambeau.nn.functional", ""),
    "torch._C._linalg": ("flambeau.linalg", "linalg_"),
    "torch._C._special": ("flambeau.special", "special_"),
    "torch._C._fft": ("flambeau.fft", "fft_"),
}
_NAMESPACES = ("torch.nn.functional", "torch", "torch.linalg", "torch.special", "torch.fft", "torch.nn.init")


def get_layout(name: str) -> Any:
    """The layout of a name, strided or sparse."""
    for layout in (
        formats.strided, formats.sparse_coo, formats.sparse_csr, formats.sparse_csc, formats.sparse_bsr, formats.sparse_bsc,
    ):  # fmt: skip
        if name == repr(layout):
            return layout
    raise RuntimeError(f"tensors of the layout {name!r:.80} are not supported: save them with .to_dense()")


_REBUILD = (
    rebuild._rebuild_tensor_v2,
    rebuild._rebuild_tensor_v3,
    rebuild._rebuild_tensor,
    rebuild._rebuild_sparse_tensor,
    rebuild._rebuild_meta_tensor_no_storage,
    rebuild._rebuild_parameter,
    rebuild._rebuild_parameter_with_state,
    rebuild._rebuild_device_tensor_from_numpy,
    rebuild._rebuild_device_tensor_from_cpu_tensor,
)

# (module, name) in the file -> the object here. Of several names for an object, the first is the one we write.
TORCH: dict[tuple[str, str], Any] = {
    **{("torch._utils", f.__name__): f for f in _REBUILD},
    ("torch._utils", "_rebuild_xla_tensor"): rebuild._rebuild_device_tensor_from_numpy,
    ("torch._tensor", "_rebuild_from_type_v2"): rebuild._rebuild_from_type_v2,
    ("torch._tensor", "_rebuild_from_type"): rebuild._rebuild_from_type,
    ("torch.tensor", "_rebuild_from_type"): rebuild._rebuild_from_type,
    ("torch", "Tensor"): Tensor,
    ("torch._tensor", "Tensor"): Tensor,
    ("torch._C", "TensorBase"): Tensor,
    ("torch", "Size"): Size,
    ("torch", "device"): device,
    ("torch", "dtype"): dtypes.dtype,
    ("torch.serialization", "_get_layout"): get_layout,
    **{("torch", d.name): d for d in (*dtypes.DTYPES, *dtypes.NARROW, *dtypes.OPAQUE)},
    **{("torch", f.name): f for f in vars(formats).values() if isinstance(f, formats.memory_format | formats.layout)},
    **{("torch", name): getattr(quantized, name) for name in quantized.SCHEMES},
    **{("torch", alias): d for alias, d in dtypes.ALIASES.items()},
    **{("torch", t.name): t for t in STORAGE_TYPES.values()},
    ("torch.storage", "UntypedStorage"): UNTYPED,
    ("torch", "UntypedStorage"): UNTYPED,
}
# the same for what only trusted files may name
TRUSTED: dict[tuple[str, str], Any] = {
    ("torch.utils.hooks", "RemovableHandle"): RemovableHandle,
    ("torch.autograd.function", "Function"): Function,
    ("torch._utils", "_rebuild_wrapper_subclass"): rebuild._rebuild_wrapper_subclass,
}
_WRITTEN: dict[int, tuple[str, str]] = {}
for _name, _object in (TORCH | TRUSTED).items():
    _WRITTEN.setdefault(id(_object), _name)

FOREIGN = {
    "_rebuild_sparse_csr_tensor": "this old form of sparse tensors is not supported: save them with .to_dense()",
    "_rebuild_qtensor": "quantised tensors are not supported: save them with .dequantize()",
    "_rebuild_nested_tensor": "nested tensors are not supported: save them with .to_padded_tensor(...)",
}


def unsupported(module: str, name: str) -> str | None:
    """Why flambeau cannot have what torch calls by this name, if that is known."""
    if module in ("torch", "torch._utils", "torch.storage") and (module, name) not in TORCH:
        if name in FOREIGN:
            return FOREIGN[name]
        if module == "torch" and name.startswith(("QInt", "QUInt")) and name.endswith("Storage"):
            return FOREIGN["_rebuild_qtensor"]
    return None


def modern(module: str, name: str) -> tuple[str, str]:
    """A Python 2 name as Python 3 has it; others unchanged."""
    if module == "__builtin__" and (module, name) not in _PYTHON_2:
        return "builtins", name
    return _PYTHON_2.get((module, name), (module, name))


def here(module: str) -> str:
    """A module's path in flambeau: `torch.nn` is `flambeau.nn`; other modules are unchanged."""
    first, dot, rest = module.partition(".")
    return PACKAGES.get(first, first) + dot + rest


def there(module: str) -> str:
    """The opposite: a module's path in torch."""
    for theirs, ours in sorted(PACKAGES.items(), key=lambda pair: -len(pair[1])):
        if module == ours or module.startswith(ours + "."):
            return theirs + module[len(ours) :]
    return module


def written(thing: Any, name: str | None = None) -> tuple[str, str] | None:
    """Under which (module, name) something of flambeau's is written, so that torch finds its own; None for all else."""
    if (known := _WRITTEN.get(id(thing))) is not None:
        return known
    if not isinstance(thing, (type, FunctionType)):
        return None
    module, name = thing.__module__, name or thing.__qualname__
    if module is None or there(module) == module or "<locals>" in name:
        return None
    for namespace in _NAMESPACES if module.startswith(("flambeau.core.", "flambeau.ops.")) else ():
        found = sys.modules.get(here(namespace))
        if found is not None and getattr(found, name, None) is thing:
            return namespace, name
    return there(module), name


def find(module: str, name: str) -> Any:
    """What a name in a trusted torch pickle means here; None if it is not one of torch's.

    Raises RuntimeError for what flambeau cannot have, AttributeError for what it does not have yet.
    """
    known = TORCH.get((module, name)) or TRUSTED.get((module, name))
    if known is not None:
        return known
    if (reason := unsupported(module, name)) is not None:
        raise RuntimeError(reason)
    if module.partition(".")[0] not in PACKAGES:
        return None
    if (module, name) in (("torch._C", "_VariableFunctionsClass"), ("torch._C", "_VariableFunctions")):
        return importlib.import_module("flambeau")
    places = [(here(module), name)]
    if module in _C_MODULES:
        path, prefix = _C_MODULES[module]
        places.append((path, name.removeprefix(prefix)))
    if module == "torch.functional" or module.startswith("torch._"):
        places += [(here(namespace), name) for namespace in _NAMESPACES]
    for path, attribute in places:
        try:
            found: Any = importlib.import_module(path)
        except ModuleNotFoundError as e:
            if e.name is None or not (path + ".").startswith(e.name + "."):
                raise
            continue
        for part in attribute.split("."):
            found = getattr(found, part, None)
            if found is None:
                break
        if found is not None and not isinstance(found, ModuleType):
            return found
    raise AttributeError(f"this checkpoint needs {module}.{name}, which flambeau does not have yet")
