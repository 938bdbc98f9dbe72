"""How a report of the machine asks programs: each function takes `run_lambda`, which runs a command as `run` does."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

Run = Callable[[Any], tuple[int, str, str]]

__all__ = [
    "check_release_file", "get_cachingallocator_config", "get_clang_version", "get_cmake_version", "get_conda_packages",
    "get_cpu_info", "get_cuda_module_loading_config", "get_gcc_version", "get_gpu_info", "get_libc_version", "get_lsb_version",
    "get_mac_version", "get_nvidia_driver_version", "get_nvidia_smi", "get_os", "get_pip_packages", "get_platform",
    "get_python_platform", "get_running_cuda_version", "is_xnnpack_available", "run", "run_and_parse_first_match",
    "run_and_read_all", "run_and_return_first_line",
]  # fmt: skip

_PACKAGES = frozenset({"numpy", "torch", "flambeau", "jax", "jaxlib", "onnx", "mypy", "flake8", "triton", "optree"})


def run(command: str | list[str]) -> tuple[int, str, str]:
    """What a command returns and writes; 127 for one that is not there. Text goes through the shell."""
    shell = isinstance(command, str)
    try:
        made = subprocess.run(command, shell=shell, capture_output=True, check=False)
    except FileNotFoundError as error:
        return 127, "", str(error)
    coding = locale.getpreferredencoding(False)
    return made.returncode, made.stdout.decode(coding, "replace").strip(), made.stderr.decode(coding, "replace").strip()


def run_and_read_all(run_lambda: Run, command: Any) -> str | None:
    """All that a command writes; None if it fails."""
    code, out, _ = run_lambda(command)
    return out if code == 0 else None


def run_and_parse_first_match(run_lambda: Run, command: Any, regex: str) -> str | None:
    """The first group of the first match in it; None without one."""
    told = run_and_read_all(run_lambda, command)
    found = None if told is None else re.search(regex, told)
    return found.group(1) if found else None


def run_and_return_first_line(run_lambda: Run, command: Any) -> str | None:
    """Its first line; None if it fails."""
    code, out, _ = run_lambda(command)
    return out.split("\n")[0] if code == 0 else None


def get_nvidia_smi() -> str:
    """The command that asks NVIDIA's driver."""
    return "nvidia-smi"


def get_platform() -> str:
    """linux, win32, cygwin or darwin."""
    return next(
        (name for name in ("linux", "win32", "cygwin", "darwin") if sys.platform.startswith(name)), sys.platform
    )


def get_python_platform() -> str:
    """The platform, as Python calls it."""
    return platform.platform()


def get_libc_version() -> str:
    """The C library and its version; N/A elsewhere than on Linux."""
    return "-".join(platform.libc_ver()) if get_platform() == "linux" else "N/A"


def get_os(run_lambda: Run) -> str | None:
    """The operating system and the processor's kind."""
    kind = get_platform()
    if kind == "linux":
        found = get_lsb_version(run_lambda) or check_release_file(run_lambda)
    elif kind == "darwin":
        version = get_mac_version(run_lambda)
        found = None if version is None else f"macOS {version}"
    else:
        found = platform.platform()
    return f"{found or kind} ({platform.machine()})"


def get_gpu_info(run_lambda: Run) -> str | None:
    """The GPUs, as NVIDIA's driver lists them, without their identifiers; None without any."""
    found = run_and_read_all(run_lambda, f"{get_nvidia_smi()} -L")
    return None if found is None else re.sub(r" \(UUID: .+?\)", "", found)


def get_cpu_info(run_lambda: Run) -> str:
    """What is known of the processors."""
    command = "sysctl -n machdep.cpu.brand_string" if get_platform() == "darwin" else "lscpu"
    code, out, error = run_lambda(command)
    return out if code == 0 else error


def get_pip_packages(run_lambda: Run, patterns: Iterable[str] | None = None) -> tuple[str, str]:
    """`pip3`, and the packages whose names hold one of the patterns."""
    wanted = _PACKAGES if patterns is None else set(patterns)
    found = {
        f"{dist.metadata['Name']}=={dist.version}"
        for dist in importlib.metadata.distributions()
        if any(pattern in dist.metadata["Name"].lower() for pattern in wanted)
    }
    return "pip3", "\n".join(sorted(found))


def get_conda_packages(run_lambda: Run, patterns: Iterable[str] | None = None) -> str | None:
    """The same of conda; None without it."""
    listed = run_and_read_all(run_lambda, [os.environ.get("CONDA_EXE", "conda"), "list"])
    wanted = _PACKAGES if patterns is None else set(patterns)
    if listed is None:
        return None
    lines = [line for line in listed.splitlines() if line[:1] != "#"]
    return "\n".join(line for line in lines if any(pattern in line for pattern in wanted))


def get_cuda_module_loading_config() -> str:
    """How CUDA loads its modules: N/A, since JAX decides it."""
    return "N/A"


def get_cachingallocator_config() -> dict[str, str]:
    """The environment's variables that PyTorch's allocator reads, and that mean nothing to XLA's."""
    names = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def is_xnnpack_available() -> bool:
    """Never: XLA does not use it."""
    return False


def get_gcc_version(run_lambda: Run) -> str | None:
    """Gcc's version; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "gcc --version", r"gcc (.*)")


def get_clang_version(run_lambda: Run) -> str | None:
    """Clang's version; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "clang --version", r"clang version (.*)")


def get_cmake_version(run_lambda: Run) -> str | None:
    """Cmake's version; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "cmake --version", r"cmake (.*)")


def get_mac_version(run_lambda: Run) -> str | None:
    """MacOS's version; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "sw_vers -productVersion", r"(.*)")


def get_lsb_version(run_lambda: Run) -> str | None:
    """The distribution of Linux, as it calls itself; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "lsb_release -a", r"Description:\t(.*)")


def check_release_file(run_lambda: Run) -> str | None:
    """The same from the files in /etc; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "cat /etc/*-release", r'PRETTY_NAME="(.*)"')


def get_running_cuda_version(run_lambda: Run) -> str | None:
    """The version of CUDA's compiler; None if it is not known."""
    return run_and_parse_first_match(run_lambda, "nvcc --version", r"release .+ V(.*)")


def get_nvidia_driver_version(run_lambda: Run) -> str | None:
    """The driver's version; None if it is not known."""
    return run_and_parse_first_match(run_lambda, get_nvidia_smi(), r"Driver Version: (.*?) ")
