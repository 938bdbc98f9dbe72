"""PyTorch's own error texts that can't be said in other words, from `messages.txt`. Read when one is needed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any


@functools.cache
def _messages() -> dict[str, str]:
    lines = Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines()
    rows = (line.partition(": ") for line in lines if line and line[0] != "#")
    return {name: text.replace("\\n", "\n") for name, _, text in rows}


def message(key: str, /, **values: Any) -> str:
    """PyTorch's message of this name, with the values that it tells."""
    return _messages()[key].format(**values)
