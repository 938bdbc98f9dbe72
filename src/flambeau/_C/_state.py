"""Questions about the process and switches of `torch._C`. What a switch would change is not here; it only remembers."""

from __future__ import annotations

from typing import Any, NoReturn

from ..core.array.devices import get_default_device
from ..core.context.grad_mode import state
from ..core.tape.nodes import shown
from ..core.tensor.tensor import Tensor

_TensorMeta = type(Tensor)

# Libraries and kinds of devices that PyTorch was built with, which programs ask before they look for a device: none of them is here.
# Arrays on an accelerator are XLA's (`torch.accelerator`).
_has_cuda = _has_cudnn = _has_cusparselt = _has_magma = _has_mps = _has_xpu = False
_has_eigen_sparse = _has_kleidiai = _has_mkldnn = _has_mkldnn_acl = False


def _log_api_usage_once(event: str) -> None:
    """Nothing is logged about the use of functions; `event` goes nowhere."""


def _get_tracing_state() -> None:
    """None: a function that is traced by `torch.jit` runs with ordinary tensors here."""


def _is_tracing() -> bool:
    """False, as `_get_tracing_state`."""
    return False


def _current_autograd_node() -> Any:
    """The node on the tape whose gradients, or hooks, run now in this thread; None outside of a backward pass."""
    return None if state.run is None or state.run.running is None else shown(state.run.running)


def _current_graph_task_id() -> int:
    """-1: passes backwards have no numbers here."""
    return -1


def _get_accelerator(check: bool | None = None) -> Any:
    """The kind of accelerator of this process, or the CPU."""
    from ..accelerator import current_accelerator
    from ..core.array.devices import device

    return current_accelerator() or device("cpu")


def _get_privateuse1_backend_name() -> str:
    """The name of the place for devices of others, which nobody has taken."""
    return "privateuseone"


def _get_default_device() -> str:
    """The kind of device on which tensors are made."""
    return str(get_default_device().type)


def _get_cudnn_enabled() -> bool:
    """What `torch.backends.cudnn.enabled` was set to."""
    from ..backends import cudnn

    return bool(cudnn.enabled)


def _switch_of(backend: str, name: str) -> Any:
    def read() -> bool:
        from .. import backends

        return bool(getattr(getattr(backends, backend), name))

    read.__doc__ = f"What `torch.backends.{backend}.{name}` was set to."
    return read


_get_cudnn_benchmark = _switch_of("cudnn", "benchmark")
_get_cudnn_deterministic = _switch_of("cudnn", "deterministic")
_get_cudnn_allow_tf32 = _switch_of("cudnn", "allow_tf32")
_get_mkldnn_enabled = _switch_of("mkldnn", "enabled")


def _get_cublas_allow_tf32() -> bool:
    """What `torch.backends.cuda.matmul.allow_tf32` was set to."""
    from ..backends.cuda import matmul

    return bool(matmul.allow_tf32)


def _set_grad_enabled(enabled: bool) -> None:
    """Whether this thread records from now on."""
    from ..autograd.grad_mode import set_grad_enabled

    set_grad_enabled(enabled)


def _len_torch_dispatch_stack() -> int:
    """How many `TorchDispatchMode`s are on in this thread."""
    return len(state.dispatch_modes)


def _len_torch_function_stack() -> int:
    """How many `TorchFunctionMode`s are on in this thread."""
    return len(state.modes)


def _is_alias_of(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors look into one memory."""
    return input._storage is other._storage


def _storage_Use_Count(storage_impl_ptr: int) -> NoReturn:
    """Refused: storages are Python's objects, which it counts itself."""
    raise NotImplementedError(
        "_storage_Use_Count: there are no addresses of storages here; use sys.getrefcount(storage)"
    )


def _are_functorch_transforms_active() -> bool:
    """Whether a transform of `torch.func` is at work."""
    return bool(state.transforms)


# --- switches of TorchScript's compiler, which is not here -----------------------------------------------------------

_switches: dict[str, bool] = {"profiling_mode": True, "profiling_executor": True, "texpr_fuser_enabled": True}


def _switch(name: str) -> Any:
    def set_switch(enabled: bool) -> bool:
        before, _switches[name] = _switches.get(name, False), bool(enabled)
        return before

    set_switch.__doc__ = (
        "Changes nothing, as TorchScript's compiler is not here: XLA compiles. Gives what was set before."
    )
    return set_switch


_jit_set_profiling_mode = _switch("profiling_mode")
_jit_set_profiling_executor = _switch("profiling_executor")
_jit_set_nvfuser_enabled = _switch("nvfuser_enabled")
_jit_set_nvfuser_guard_mode = _switch("nvfuser_guard_mode")


def _jit_set_texpr_fuser_enabled(enabled: bool) -> None:
    """Changes nothing: XLA fuses as it sees fit."""
    _switches["texpr_fuser_enabled"] = bool(enabled)


def _jit_texpr_fuser_enabled() -> bool:
    """What `_jit_set_texpr_fuser_enabled` was told."""
    return _switches["texpr_fuser_enabled"]


def _jit_override_can_fuse_on_cpu(enabled: bool) -> None:
    """Changes nothing: XLA fuses as it sees fit."""
    _switches["fuse_on_cpu"] = bool(enabled)


def _jit_override_can_fuse_on_gpu(enabled: bool) -> None:
    """Changes nothing: XLA fuses as it sees fit."""
    _switches["fuse_on_gpu"] = bool(enabled)


def _jit_can_fuse_on_cpu() -> bool:
    """What `_jit_override_can_fuse_on_cpu` was told last."""
    return _switches.get("fuse_on_cpu", False)


def _jit_can_fuse_on_gpu() -> bool:
    """What `_jit_override_can_fuse_on_gpu` was told last."""
    return _switches.get("fuse_on_gpu", False)
