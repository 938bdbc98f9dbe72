"""Writes src/flambeau/compiler/settings.txt: the names of the settings of PyTorch's compiler, their values there, and who is whom.

python tools/settings.py            needs the real torch, as the tests do
"""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "src" / "flambeau" / "compiler" / "settings.txt"
MODULES = (
    "torch.compiler.config",
    "torch._dynamo.config",
    "torch._functorch.config",
    "torch._inductor.config",
    "torch.fx.experimental._config",
)
OF_THE_MACHINE = {"compile_threads"}
HEAD = """\
# Written by tools/settings.py: the settings of PyTorch 2.13's compiler, by module. `name = value` is what it is set to at first there
# (? where that hangs on the machine), `name > other` another name for a setting.
"""


def shown(value: Any) -> str:
    """A value as Python writes it, or ? for one that is no literal, or that names a place of this machine."""
    text = repr(value)
    if text == "set()":
        return text
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return "?"
    return "?" if os.sep in text or len(text) > 60 or isinstance(value, set) else text


def page() -> str:
    lines = [HEAD]
    for module in MODULES:
        lines.append(f"\n[{module}]\n")
        for name, entry in importlib.import_module(module)._config.items():
            if name.startswith("_"):
                continue
            value = "?" if name in OF_THE_MACHINE else shown(entry.default)
            lines.append(f"{name} > {entry.alias}\n" if entry.alias else f"{name} = {value}\n")
    return "".join(lines)


if __name__ == "__main__":
    TABLE.write_text(page())
