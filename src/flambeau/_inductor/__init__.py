"""The names of `torch._inductor` that programs use. XLA is what compiles here."""

from __future__ import annotations

from typing import Any

from ..compiler import compile as _compile
from . import config

__all__ = ["compile", "config", "cudagraph_mark_step_begin", "list_mode_options", "list_options"]


def compile(gm: Any, example_inputs: Any = None, options: dict[str, Any] | None = None) -> Any:
    """The function, compiled by XLA at its first call."""
    return _compile(gm)


def cudagraph_mark_step_begin() -> None:
    """Nothing to do: XLA decides on CUDA graphs by itself."""


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """No mode changes an option: XLA has its own."""
    modes: dict[str, Any] = {"default": {}, "reduce-overhead": {}, "max-autotune-no-cudagraphs": {}, "max-autotune": {}}
    if mode is None:
        return modes
    if mode not in modes:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(modes)}")
    return modes[mode]


def list_options() -> list[str]:
    """None of inductor's options has a meaning here."""
    return []
