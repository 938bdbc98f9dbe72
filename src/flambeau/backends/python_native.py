"""Operators that PyTorch has in languages within Python (Triton, CuteDSL). None of them is here: XLA makes the kernels. The switches
are for scripts that turn such operators off, and remember what they were told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_operations: set[str] = set()  # that were disabled
_keys: set[str] = set()


class DSLController:
    """The switch of one language: it is not available, whether enabled or not."""

    available = False
    version = None

    def __init__(self, name: str):
        self.name: str = name
        self.enabled: bool = True

    def __repr__(self) -> str:
        return f"DSLController({self.name}, unavailable, {'enabled' if self.enabled else 'disabled'})"

    def enable(self) -> None:
        """Let its operators serve."""
        self.enabled = True

    def disable(self) -> None:
        """Let none of its operators serve."""
        self.enabled = False

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """A `with` block in which none of its operators serves."""
        before, self.enabled = self.enabled, False
        try:
            yield
        finally:
            self.enabled = before


cutedsl: DSLController = DSLController("cutedsl")
triton: DSLController = DSLController("triton")
all_dsls: list[str] = ["cutedsl", "triton"]
available_dsls: list[str] = []


def get_dsl_operations(dsl_name: str) -> list[str]:
    """The operators that this language brings: none."""
    return []


def is_dsl_disabled(dsl_name: str) -> bool:
    """Whether this language was turned off."""
    return dsl_name in all_dsls and not {"cutedsl": cutedsl, "triton": triton}[dsl_name].enabled


def is_operation_disabled(op_symbol: str) -> bool:
    """Whether this operator was turned off in all languages."""
    return op_symbol in _operations


def disable_operations(*op_symbols: str) -> None:
    """Turn operators off in all languages."""
    _operations.update(op_symbols)


def enable_operations(*op_symbols: str) -> None:
    """Turn operators on again."""
    _operations.difference_update(op_symbols)


@contextlib.contextmanager
def operations_disabled(*op_symbols: str) -> Iterator[None]:
    """A `with` block in which operators are off that were on before it."""
    new = set(op_symbols) - _operations
    disable_operations(*new)
    try:
        yield
    finally:
        enable_operations(*new)


def disable_dispatch_keys(*dispatch_keys: str) -> None:
    """Turn operators off for kinds of devices."""
    _keys.update(dispatch_keys)


def enable_dispatch_keys(*dispatch_keys: str) -> None:
    """Turn them on again."""
    _keys.difference_update(dispatch_keys)
