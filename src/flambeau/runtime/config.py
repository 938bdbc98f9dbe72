"""How JAX is set up, before anything is computed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import jax

from . import memory
from .signals import keep_signals_off


def cache_folder() -> Path | None:
    """Where compiled programs are kept between processes; None if that is turned off.

    `FLAMBEAU_CACHE=0` turns it off, `FLAMBEAU_CACHE=/some/folder` puts it elsewhere than in the user's cache folder.
    """
    chosen = os.environ.get("FLAMBEAU_CACHE", "")
    if chosen.lower() in ("0", "off", "no", "false"):
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # a user without a home
            return None
    return Path(base) / "flambeau" / "xla"


def cache_limit() -> int:
    """How many bytes the compiled programs on the disk may take: `FLAMBEAU_CACHE_MB` (512) times 2^20."""
    chosen = os.environ.get("FLAMBEAU_CACHE_MB") or "512"
    if not chosen.isdecimal():
        raise ValueError(f"FLAMBEAU_CACHE_MB is to be a whole number of mebibytes, but it is {chosen!r}")
    return int(chosen) << 20


def computes_first_calls() -> bool:
    """Whether NumPy computes the first calls of an operator for new shapes where it gives XLA's bits; `FLAMBEAU_FIRST_CALLS=0` has XLA do it."""
    return os.environ.get("FLAMBEAU_FIRST_CALLS", "").lower() not in ("0", "off", "no", "false")


def _virtual_devices() -> int:
    """How many devices XLA is told to make of the CPU."""
    found = re.search(r"--xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    asked = found[1] if found else os.environ.get("JAX_NUM_CPU_DEVICES", "")
    return int(asked) if asked.isdecimal() else 1


def configure() -> None:
    """64-bit types on, and JAX's persistent compilation cache in the user's cache folder unless one is set already."""
    jax.config.update("jax_enable_x64", True)
    # On the CPU, handing a program to another thread costs more than what it lets Python do meanwhile.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.config.update("jax_traceback_filtering", "off")  # else JAX adds notes about itself to users' errors
    count = _virtual_devices()
    if count > 1:
        # XLA's collectives between CPU devices each hold a thread until all have come. With its usual number of threads, one for
        # each device, they wait for ever for one that has other work to do.
        os.environ.setdefault("NPROC", str(4 * count))
    folder = cache_folder()
    if folder is None or jax.config.values["jax_compilation_cache_dir"]:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # no cache folder to write to: compile each time
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _kernels() -> str:
    from .. import native  # loads the kernels, which the import of flambeau does not

    if not native.available():
        return f"XLA's ({native.why_not()})"
    without = f", without {', '.join(native.missing())}" if native.missing() else ""
    return f"oneDNN {native.version()}, {native.isa()}, up to {native.get_num_threads()} threads{without}"


def show_config() -> str:
    """What computes: JAX, its devices, the compilation cache."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    return "\n".join(
        [
            f"jax {jax.__version__}, devices: {', '.join(map(str, jax.devices()))}",
            f"compilation cache: {folder or 'off'}",
            f"convolutions and matrix products on the CPU: {_kernels()}",
        ]
    )


configure()
memory.keep_freed()
keep_signals_off()
