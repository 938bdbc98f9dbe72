"""Checkpoints: torch's `.pt`/`.pth` files (zip and legacy format) and safetensors, read and written without torch."""

from .load import get_unsafe_globals_in_checkpoint, load
from .safe_globals import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from .safetensors import load_safetensors, save_safetensors
from .save import save

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "load_safetensors",
    "safe_globals",
    "save",
    "save_safetensors",
]
