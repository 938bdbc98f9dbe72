"""What a GPU is: its name, its capability, its memory; and what NVIDIA's own library says of its load."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..core.array.devices import jax_devices
from ._devices import index_of, required
from ._nvml import handle as _handle
from .memory import mem_get_info


@dataclasses.dataclass(frozen=True, repr=False)
class _CudaDeviceProperties:
    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    is_integrated: int = 0
    is_multi_gpu_board: int = 0
    warp_size: int = 32
    gcnArchName: str = ""

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name={self.name!r}, major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count})"
        )


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, as two numbers. AssertionError without a GPU."""
    held = required(index_of(device))
    major, _, minor = str(getattr(held, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)


def get_device_properties(device: Any = None) -> _CudaDeviceProperties:
    """Name, capability, memory and number of processors. AssertionError without a GPU."""
    held = required(index_of(device))
    return _CudaDeviceProperties(
        held.device_kind, *get_device_capability(device), mem_get_info(device)[1], int(getattr(held, "core_count", 0))
    )


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Refused: JAX does not tell whether one GPU reads another's memory. AssertionError without a GPU."""
    required(index_of(device))
    required(index_of(peer_device))
    raise NotImplementedError("torch.cuda.can_device_access_peer: JAX does not tell; `nvidia-smi topo -p2p r` does")


def get_arch_list() -> list[str]:
    """The architectures that there are GPUs of: XLA compiles for those that it meets."""
    found = {get_device_capability(i) for i in range(len(jax_devices("cuda")))}
    return sorted(f"sm_{major}{minor}" for major, minor in found)


def get_gencode_flags() -> str:
    """How nvcc would be called for them."""
    return " ".join(f"-gencode compute=compute_{arch.removeprefix('sm_')},code={arch}" for arch in get_arch_list())


def is_tf32_supported() -> bool:
    """Whether the first GPU has TensorFloat-32."""
    return bool(jax_devices("cuda")) and get_device_capability(0)[0] >= 8


# --- NVIDIA's management library --------------------------------------------------------------------------------------


def utilization(device: Any = None) -> int:
    """Percent of the last moment in which a kernel ran."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetUtilizationRates(handle).gpu)


def memory_usage(device: Any = None) -> int:
    """Percent of the last moment in which memory was read or written."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetUtilizationRates(handle).memory)


def device_memory_used(device: Any = None) -> int:
    """Bytes in use, by all processes."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetMemoryInfo(handle).used)


def temperature(device: Any = None) -> int:
    """Degrees Celsius."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetTemperature(handle, 0))


def power_draw(device: Any = None) -> int:
    """Milliwatts."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetPowerUsage(handle))


def clock_rate(device: Any = None) -> int:
    """Megahertz of the processors' clock."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetClockInfo(handle, 1))
