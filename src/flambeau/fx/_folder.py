"""A GraphModule as a Python package on the disk."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from .. import nn
from ._imports import format_import_block

_PACKAGE = __name__.partition(".")[0]
_SIMPLE = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip


def _by_text(module: Any) -> bool:
    """Whether a layer's printed form makes it again."""
    return type(module) in _SIMPLE


def to_folder(gm: Any, folder: Path, module_name: str) -> None:
    """Write `module.py`, `__init__.py`, `state_dict.pt`, and a file for each child that its text can't make."""
    package: Any = sys.modules[_PACKAGE]
    folder.mkdir(parents=True, exist_ok=True)
    package.save(gm.state_dict(), folder / "state_dict.pt")
    made = gm.graph.python_code("self")
    lines: list[str] = []
    by_file: list[str] = []
    for name, child in gm.named_children():
        if _by_text(child):
            lines.append(f"setattr(self, '{name}', {child!r})")
        else:
            by_file.append(name)
            package.save(child, folder / f"{name}.pt")
            what = repr(child).replace("\r", " ").replace("\n", " ")
            lines.append(
                f"setattr(self, '{name}', torch.load(r'{folder / f'{name}.pt'}', weights_only=False)) # {what}"
            )
    for name, buffer in gm._buffers.items():
        if buffer is not None:
            lines.append(f"self.register_buffer('{name}', torch.empty({list(buffer.shape)}, dtype={buffer.dtype}))")
    for name, parameter in gm._parameters.items():
        if parameter is not None:
            empty = f"torch.empty({list(parameter.shape)}, dtype={parameter.dtype})"
            lines.append(f"setattr(self, '{name}', torch.nn.Parameter({empty}))")
    lines.append(f"self.load_state_dict(torch.load(r'{folder / 'state_dict.pt'}'))")
    imports = f"import torch\n{format_import_block(made.globals)}\n\nfrom torch.nn import *"
    body = "".join(f"\n        {line}" for line in lines)
    code = "\n".join(f"    {line}" if line.strip() else "" for line in made.src.split("\n"))
    text = f"{_here(imports)}\nclass {module_name}(torch.nn.Module):\n    def __init__(self):\n        super().__init__(){body}\n{code}\n"
    (folder / "module.py").write_text(text)
    (folder / "__init__.py").write_text("from .module import *\n")
    if by_file:
        warnings.warn(
            f"Was not able to save the following children modules as reprs -saved as pickled files instead: {by_file}",
            stacklevel=3,
        )


def _here(imports: str) -> str:
    """The imports as they work in this process: where `torch` is no name of flambeau's, its own name stands in its place."""
    if sys.modules.get("torch") is sys.modules[_PACKAGE]:
        return imports
    lines = []
    for line in imports.split("\n"):
        line = line.replace("from torch", f"from {_PACKAGE}")
        if line == "import torch":
            line = f"import {_PACKAGE} as torch"
        lines.append(line.replace("import torch.", f"import {_PACKAGE}."))
    return "\n".join(lines)
