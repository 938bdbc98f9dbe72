"""Checkpoints: torch's `.pt`/`.pth` files (zip and legacy format) and safetensors, read and written without torch."""

from .allowed import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from .loading import get_unsafe_globals_in_checkpoint, load
from .safetensors import load_safetensors, save_safetensors
from .saving import save

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
