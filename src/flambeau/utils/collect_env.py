"""`python -m torch.utils.collect_env`: what a report of a problem should say about the machine and its packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from typing import Any, NamedTuple

import flambeau

from ..runtime.absent import refuse
from . import _collect
from ._collect import *  # noqa: F403

__all__ = ["SystemEnv", "get_env_info", "get_pretty_env_info", "main", *_collect.__all__]

_PACKAGES = "flambeau jax jaxlib jax-cuda12-plugin jax-cuda13-plugin numpy ml_dtypes torch torchvision onnx onnxruntime triton".split()
_UNKNOWN = "Could not collect"


class SystemEnv(NamedTuple):
    """What is known; None for what is not."""

    torch_version: str
    flambeau_version: str
    jax_version: str
    is_debug_build: str
    cuda_compiled_version: str | None
    gcc_version: str | None
    clang_version: str | None
    cmake_version: str | None
    os: str
    libc_version: str
    python_version: str
    python_platform: str
    is_cuda_available: str
    devices: str
    nvidia_driver_version: str | None
    nvidia_gpu_models: str | None
    is_xpu_available: str
    pip_packages: str
    cpu_info: str


def _output(*command: str) -> str | None:
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return made.stdout.strip() if made.returncode == 0 else None


def _first(pattern: str, text: str | None) -> str | None:
    found = re.search(pattern, text or "")
    return found.group(1) if found else None


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.platform()
    return f"{name} ({platform.machine()})"


def _packages() -> str:
    lines = []
    for name in _PACKAGES:
        try:
            lines.append(f"[pip3] {name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return "\n".join(lines)


def get_env_info() -> SystemEnv:
    """What can be found out, by asking JAX and a few programs."""
    import jax

    torch_version, _, own = flambeau.__version__.partition("+flambeau.")
    gpu = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    models = [line.rsplit(",", 1) for line in (gpu or "").splitlines()]
    return SystemEnv(
        torch_version=torch_version,
        flambeau_version=own,
        jax_version=jax.__version__,
        is_debug_build="False",
        cuda_compiled_version=flambeau.version.cuda,
        gcc_version=_first(r"gcc (.*)", _output("gcc", "--version")),
        clang_version=_first(r"clang version (.*)", _output("clang", "--version")),
        cmake_version=_first(r"cmake (.*)", _output("cmake", "--version")),
        os=_system(),
        libc_version="-".join(platform.libc_ver()) or "N/A",
        python_version=f"{sys.version} ({sys.maxsize.bit_length() + 1}-bit runtime)".replace("\n", " "),
        python_platform=platform.platform(),
        is_cuda_available=str(flambeau.cuda.is_available()),
        devices=", ".join(map(str, jax.devices())),
        nvidia_driver_version=models[0][1].strip() if models else None,
        nvidia_gpu_models="\n".join(f"GPU {i}: {model.strip()}" for i, (model, _) in enumerate(models)) or None,
        is_xpu_available="False",
        pip_packages=_packages(),
        cpu_info=_output("lscpu") or f"{platform.processor()}, {os.cpu_count()} cores",
    )


def pretty_str(envinfo: SystemEnv) -> str:
    """The report as text."""

    def said(value: Any) -> str:
        return _UNKNOWN if value is None else str(value)

    env = envinfo
    return "\n".join(
        [
            f"PyTorch version: {env.torch_version} (whose behaviour flambeau {env.flambeau_version} has)",
            f"JAX version: {env.jax_version}",
            f"Is debug build: {env.is_debug_build}",
            f"CUDA used to build PyTorch: {said(env.cuda_compiled_version)}",
            "",
            f"OS: {env.os}",
            f"GCC version: {said(env.gcc_version)}",
            f"Clang version: {said(env.clang_version)}",
            f"CMake version: {said(env.cmake_version)}",
            f"Libc version: {env.libc_version}",
            "",
            f"Python version: {env.python_version}",
            f"Python platform: {env.python_platform}",
            f"Is CUDA available: {env.is_cuda_available}",
            f"JAX devices: {env.devices}",
            f"GPU models and configuration: {said(env.nvidia_gpu_models)}",
            f"Nvidia driver version: {said(env.nvidia_driver_version)}",
            f"Is XPU available: {env.is_xpu_available}",
            "",
            "CPU:",
            env.cpu_info,
            "",
            "Versions of relevant libraries:",
            env.pip_packages,
        ]
    )


def get_pretty_env_info() -> str:
    """The report as text."""
    return pretty_str(get_env_info())


def main() -> None:
    """Print the report."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


refuse(
    globals(),
    "reports tell of JAX's devices; get_env_info has them",
    "get_cudnn_version get_intel_gpu_detected get_intel_gpu_driver_version get_intel_gpu_onboard get_linux_pkg_version get_windows_version",
)

if __name__ == "__main__":
    main()
