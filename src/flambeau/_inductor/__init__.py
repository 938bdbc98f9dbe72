"""The names of `torch._inductor` that programs use. XLA is what compiles here."""

from __future__ import annotations

from typing import Any

from ..compiler import compile as _compile
from ..compiler.settings import MODES, check_mode, check_options, options
from . import config

__all__ = ["compile", "config", "cudagraph_mark_step_begin", "list_mode_options", "list_options"]


def compile(gm: Any, example_inputs: Any = None, options: dict[str, Any] | None = None) -> Any:
    """The function, compiled by XLA at its first call: the example is not looked at, and options are told to have no effect."""
    check_options(options or {})
    return _compile(gm)


def cudagraph_mark_step_begin() -> None:
    """Nothing to do: XLA decides on CUDA graphs by itself."""


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """No mode changes an option: XLA has its own."""
    check_mode(mode)
    return {} if mode is not None else {name: {} for name in MODES}


def list_options() -> list[str]:
    """The names that `torch.compile(options=)` takes. None of them has an effect here, which a warning tells."""
    return options()
