"""Neural networks: modules, parameters, functions, initialisations, utilities."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import functional, grad, init
from .modules import *
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter

from . import attention, common_types, modules, parallel, parameter, utils  # isort: skip
from .parallel import DataParallel as DataParallel

from ..core.dispatch.help import explain_classes as _explain_classes  # isort: skip

_explain_classes([DataParallel], "torch.nn")


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments for tensor factories among these: `device`, `dtype`, `memory_format`, and what is in `factory_kwargs`.

    Raises TypeError for any other, and for one that is there twice.
    """
    if kwargs is None:
        return {}
    names = {"device", "dtype", "memory_format"}
    others = set(kwargs) - names - {"factory_kwargs"}
    if others:
        raise TypeError(f"unexpected kwargs {others}")
    found = dict(kwargs.get("factory_kwargs", {}))
    for name in names & set(kwargs):
        if name in found:
            raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
        found[name] = kwargs[name]
    return found


if not TYPE_CHECKING:  # type checkers would take every name

    def __getattr__(name: str) -> Any:
        if name in ("intrinsic", "qat", "quantizable", "quantized"):
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
