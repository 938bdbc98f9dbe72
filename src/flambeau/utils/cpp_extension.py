"""`torch.utils.cpp_extension`: refused. Extensions are compiled against libtorch, which is not here."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, NoReturn

from ..core.dispatch.messages import message

__all__ = [
    "BuildExtension",
    "CUDAExtension",
    "CppExtension",
    "SyclExtension",
    "check_compiler_ok_for_platform",
    "get_compiler_abi_compatibility_and_version",
    "get_cxx_compiler",
    "get_default_build_root",
    "include_paths",
    "is_ninja_available",
    "library_paths",
    "load",
    "load_inline",
    "remove_extension_h_precompiler_headers",
    "verify_ninja_availability",
]

_INSTEAD = (
    "extensions are compiled against libtorch, which is not here. Write the operator with torch.library.custom_op, of PyTorch "
    "functions, of JAX (Pallas), or of a function in C that jax.ffi calls"
)
CUDA_HOME: str | None = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
if CUDA_HOME is None and (_nvcc := shutil.which("nvcc")):
    CUDA_HOME = os.path.dirname(os.path.dirname(_nvcc))
CUDNN_HOME = os.environ.get("CUDNN_HOME") or os.environ.get("CUDNN_PATH")
ROCM_HOME = SYCL_HOME = None
IS_HIP_EXTENSION = False


def _refused(name: str) -> NoReturn:
    raise NotImplementedError(f"torch.utils.cpp_extension.{name}: {_INSTEAD}")


def load(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refused with NotImplementedError, which says what to do instead."""
    _refused("load")


def load_inline(name: str, cpp_sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refused, as `load`."""
    _refused("load_inline")


def CppExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refused, as `load`."""
    _refused("CppExtension")


def CUDAExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refused, as `load`."""
    _refused("CUDAExtension")


def SyclExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refused, as `load`."""
    _refused("SyclExtension")


class BuildExtension:
    """Refused, as `load`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refused("BuildExtension")

    @classmethod
    def with_options(cls, **options: Any) -> type[BuildExtension]:
        """This class: it is refused when the build begins."""
        return cls


def include_paths(device_type: str = "cpu", torch_include_dirs: bool = True) -> list[str]:
    """Refused, as `load`: there are no headers."""
    _refused("include_paths")


def library_paths(
    device_type: str = "cpu", torch_include_dirs: bool = True, cross_target_platform: Any = None
) -> list[str]:
    """Refused, as `load`: there are no libraries."""
    _refused("library_paths")


def get_default_build_root() -> str:
    """Where PyTorch would build extensions."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    return os.path.join(cache, "torch_extensions")


def _get_build_directory(name: str, verbose: bool) -> str:
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or os.path.join(
        get_default_build_root(),
        f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}_cpu",
    )
    folder = os.path.join(root, name)
    if verbose:
        print(f"{folder} is the folder of the extension {name}", file=sys.stderr)
    os.makedirs(folder, exist_ok=True)
    return folder


def get_cxx_compiler() -> str:
    """The C++ compiler: `$CXX`, or `c++`."""
    return os.environ.get("CXX", "c++")


def remove_extension_h_precompiler_headers() -> None:
    """Nothing to remove: no headers were compiled."""


def is_ninja_available() -> bool:
    """Whether the program `ninja` is there."""
    return shutil.which("ninja") is not None


def verify_ninja_availability() -> None:
    """RuntimeError unless `ninja` is there."""
    if not is_ninja_available():
        raise RuntimeError(message("ninja_missing"))


def check_compiler_ok_for_platform(compiler: str) -> bool:
    """Whether there is such a compiler."""
    return shutil.which(compiler) is not None


def check_compiler_is_gcc(compiler: str) -> bool:
    """Whether its name says that it is GCC."""
    return os.path.basename(shutil.which(compiler) or compiler).startswith(("g++", "gcc"))


def get_compiler_abi_compatibility_and_version(compiler: str) -> NoReturn:
    """Refused, as `load`: there is no libtorch to be compatible with."""
    _refused("get_compiler_abi_compatibility_and_version")
