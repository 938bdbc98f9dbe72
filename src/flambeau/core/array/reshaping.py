"""Programs of XLA serve one shape. Where shapes are others at each call, most of the time goes into compiling, which is said once."""

from __future__ import annotations

import warnings
from collections.abc import Callable

FEW = 64  # programs of one function: networks whose shapes stay have fewer
PATIENCE = 20.0  # seconds that go into further ones before it is said


class _Spent:
    """What went into programs of functions that have had many, and how to tell (a floor above knows the user's line)."""

    def __init__(self) -> None:
        self.seconds: float = 0.0
        self.told: bool = False
        self.tell: Callable[[str], None] = warnings.warn


spent = _Spent()


def compiled(count: int, seconds: float) -> None:
    """An operator's program number `count` took this long to compile."""
    if count <= FEW or spent.told:
        return
    spent.seconds += seconds
    if spent.seconds < PATIENCE:
        return
    spent.told = True
    spent.tell(
        f"{spent.seconds:.0f} s have gone into compiling operators for shapes that are new to them (one of them {count} times). "
        "XLA's programs serve one shape: pad the batches to a few sizes, or have one program serve all of them with "
        "torch.compile(dynamic=True)"
    )
