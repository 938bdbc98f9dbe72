"""What a program depends on in a module."""

from __future__ import annotations

from typing import Any

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type)
_TABLES = ("_parameters", "_buffers", "_modules")


def _value(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return (type(value), value)
    if isinstance(value, (tuple, list)):
        return (type(value), tuple(_value(v) for v in value))
    if isinstance(value, dict):
        return (type(value), tuple((k, _value(v)) for k, v in value.items()))
    return id(value)


def fingerprint(module: Any, ignored: frozenset[tuple[int, str]] = frozenset()) -> Any:
    """Plain attributes by value, everything else (parameters, buffers, submodules, hooks) by identity.

    `ignored` are the attributes and buffers that the program itself replaces: (id of the table, name).
    """
    own, buffers = module.__dict__, module._buffers
    seen: list[Any] = [type(module)]
    for name, value in own.items():
        if name != "_compiled_call_impl" and not (ignored and (id(own), name) in ignored):
            if ignored and value is buffers:
                value = {k: v for k, v in buffers.items() if (id(buffers), k) not in ignored}
            seen.append((name, _value(value)))
    seen.append([p is not None and p._tape_edge() is not None for p in module._parameters.values()])
    return seen
