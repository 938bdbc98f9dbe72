"""Writes docs/errors.md: the ten error texts that learners search for most, as PyTorch says them and as they stand here.

python tools/errors.py            # needs torch; --check says whether the page is current
"""

from __future__ import annotations

import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import torch

import flambeau

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear({features}, 10)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().flatten(1))
"""
CASES = {
    "Shapes of a product": NET.format(features=100) + "\n\nnet = Net()\nnet(torch.zeros(4, 3, 8, 8))",
    "Channels": NET.format(features=288) + "\n\nnet = Net()\nnet(torch.zeros(4, 1, 8, 8))",
    "Missing and unexpected keys": NET.format(features=288)
    + """

net = Net()
saved = {"module." + key: value for key, value in net.state_dict().items()}
net.load_state_dict(saved)""",
    "Size mismatch": "net = nn.Sequential(nn.Linear(4, 10))\nnet.load_state_dict(nn.Sequential(nn.Linear(4, 3)).state_dict())",
    "No grad_fn": """
net = nn.Linear(2, 1)
with torch.no_grad():
    loss = net(torch.ones(1, 2)).sum()
loss.backward()""",
    "In-place on a leaf": "w = torch.ones(3, requires_grad=True)\nw += 1",
    "Backward twice": "x = torch.ones(3, requires_grad=True)\nloss = x.exp().sum()\nloss.backward()\nloss.backward()",
    "Dtypes that differ": "net = nn.Sequential(nn.Linear(2, 1))\nnet(torch.ones(1, 2, dtype=torch.float64))",
    "A target out of range": "loss = nn.CrossEntropyLoss()\nloss(torch.zeros(2, 3), torch.tensor([0, 3]))",
    "Not a scalar": "x = torch.ones(3, requires_grad=True)\n(x * 2).backward()",
}


def said(library: Any, code: str) -> str:
    """The error of a program, by one of the libraries."""
    names = {"torch": library, "nn": library.nn}
    library.manual_seed(0)
    try:
        exec(compile(code, "<program>", "exec"), names)
    except Exception as error:
        return "".join(traceback.format_exception_only(error))
    raise SystemExit(f"no error: {code}")


def page() -> str:
    """The page, as it should be."""
    parts = [
        "# Ten errors, and what they lead to",
        "PyTorch's text stands unbroken in each, so that a search finds what others have answered. Before it stands the layer, behind "
        "it what would fit. Written by `tools/errors.py`, which runs each program with both libraries.",
    ]
    for i, (title, code) in enumerate(CASES.items(), 1):
        parts += [f"## {i}. {title}", f"```py\n{textwrap.dedent(code).strip()}\n```"]
        for name, library in (("PyTorch", torch), ("flambeau", flambeau)):
            lines = "\n".join(wrapped for line in said(library, code).splitlines() for wrapped in _wrapped(line))
            parts.append(f"{name}:\n\n```text\n{lines}\n```")
    return "\n\n".join(parts) + "\n"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 110, subsequent_indent="    ", break_long_words=False, drop_whitespace=True) or [""]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE.name} is old: run tools/errors.py")
    PAGE.write_text(page())
