"""How JAX is set up, before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

import jax


def cache_folder() -> Path | None:
    """Where compiled programs are kept between processes; None if that is turned off.

    `FLAMBEAU_CACHE=0` turns it off, `FLAMBEAU_CACHE=/some/folder` puts it elsewhere than in the user's cache folder.
    """
    chosen = os.environ.get("FLAMBEAU_CACHE", "")
    if chosen.lower() in ("0", "off", "no", "false"):
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "flambeau" / "xla"


def configure() -> None:
    """64-bit types on, and JAX's persistent compilation cache in the user's cache folder unless one is set already."""
    jax.config.update("jax_enable_x64", True)
    # On the CPU, handing a program to another thread costs more than what it lets Python do meanwhile.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.config.update("jax_traceback_filtering", "off")  # else JAX adds notes about itself to users' errors
    folder = cache_folder()
    if folder is None or jax.config.jax_compilation_cache_dir:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # no cache folder to write to: compile each time
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def show_config() -> str:
    """What computes: JAX, its devices, the compilation cache."""
    folder = jax.config.jax_compilation_cache_dir
    return "\n".join(
        [
            f"jax {jax.__version__}, devices: {', '.join(map(str, jax.devices()))}",
            f"compilation cache: {folder or 'off'}",
            "convolutions on the CPU: XLA's",
        ]
    )


configure()
