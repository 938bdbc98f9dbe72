"""What stands for names that need quantized tensors, or are not here for another reason."""

from __future__ import annotations

from typing import Any

from ...runtime.absent import refusal, refused_class
from ._parts import PARTS, PUBLIC

_TEXT = (
    "torch.ao.quantization.{name}: quantized tensors and modules are not here; run the model in bfloat16 (model.bfloat16()), or "
    "train with rounded values (prepare_qat)"
)
_function = refusal(NotImplementedError, _TEXT)


_NAMES: dict[str, Any] = {name: None for names in (*PARTS.values(), PUBLIC) for name in names}


def refused(name: str) -> Any:
    """What stands for a name: the same in all modules that have it."""
    if name not in _NAMES:
        raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
    made = _NAMES[name]
    if made is None:
        made = refused_class(name, _TEXT.replace("{name}", name)) if name[0].isupper() else _function(name)
        made.__module__ = __package__
        made.__doc__ = "Refused: quantized tensors and modules are not here."
        _NAMES[name] = made
    return made
