"""What a program depends on in a module."""

from __future__ import annotations

from typing import Any

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type)


def _value(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return (type(value), value)
    if isinstance(value, (tuple, list)):
        return (type(value), tuple(_value(v) for v in value))
    if isinstance(value, dict):
        return (type(value), tuple((k, _value(v)) for k, v in value.items()))
    return id(value)


def fingerprint(module: Any) -> Any:
    """Plain attributes by value, everything else (parameters, buffers, submodules, hooks) by identity."""
    own = tuple((name, _value(value)) for name, value in module.__dict__.items())
    flags = tuple(p is not None and p.requires_grad for p in module._parameters.values())
    return type(module), own, flags
