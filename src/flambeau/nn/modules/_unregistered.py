"""Modules and parameters in plain containers, which a module does not know of."""

from __future__ import annotations

from typing import Any

from ..parameter import Parameter


def unregistered(module: Any) -> list[tuple[str, str, list[Any]]]:
    """(path, what would register it, parameters) of plain lists, tuples and dicts with modules or parameters that the module
    does not hold in another way."""
    known = {id(m) for m in module.modules()} | {id(p) for p in module.parameters()}
    found = []
    for path, one in module.named_modules():
        for name, value in vars(one).items():
            if not isinstance(value, (list, tuple, dict)) or not value or name in _OWN or name.endswith("_hooks"):
                continue
            parts = [v for v in (value.values() if isinstance(value, dict) else value) if id(v) not in known]
            modules = [p for p in parts if hasattr(p, "named_parameters") and not isinstance(p, type)]
            params = [p for p in parts if isinstance(p, Parameter)]
            if modules or params:
                proper = f"nn.{'Module' if modules else 'Parameter'}{'Dict' if isinstance(value, dict) else 'List'}"
                params += [p for m in modules for p in m.parameters()]
                found.append((f"{path}.{name}" if path else name, proper, params))
    return found


_OWN = frozenset(("_modules", "_parameters", "_buffers"))


def plainly_held(path: str, proper: str) -> str:
    """What to say of it."""
    return f"the model holds `{path}` in a plain container, where nothing is registered: make it an {proper}(...)"
