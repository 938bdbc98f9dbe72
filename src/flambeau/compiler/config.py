"""`torch.compiler.config`: settings of PyTorch's compiler by name, with the values that describe what is always so here.

Setting one to another value is refused (NotImplementedError) rather than accepted without an effect; a name that PyTorch has not is an
AttributeError.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .compiled import MOST, SIGNATURES

_ALWAYS: dict[str, Any] = {
    "job_id": None, "pgo_extra_read_key": None, "pgo_extra_write_key": None, "cache_key_tag": "", "force_disable_caches": False,
    "dynamic_sources": "", "dynamic_values": "", "unbacked_sources": "", "force_cudagraph_gc": False, "dynamic_shapes": False,
    "assume_static_by_default": True, "automatic_dynamic_shapes": False, "recompile_limit": MOST,
    "accumulated_recompile_limit": SIGNATURES,
    "verbose": False, "capture_scalar_outputs": False, "capture_dynamic_output_shape_ops": False, "log_file_name": None,
    "fail_on_recompile_limit_hit": False, "allow_unspec_int_on_nn_module": True,
    "skip_tensor_guards_with_matching_dict_tags": True, "enable_cpp_symbolic_shape_guards": False, "wrap_top_frame": False,
    "reorderable_logging_functions": set(),
}  # fmt: skip
_INSTEAD = {
    "force_disable_caches": "start the process with FLAMBEAU_CACHE=0",
    "fail_on_recompile_limit_hit": "use torch.compile(fullgraph=True)",
}


class _Config(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name in _ALWAYS:
            return _ALWAYS[name]
        raise AttributeError(f"torch.compiler.config.{name} does not exist")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):  # what the import system says of a module
            super().__setattr__(name, value)
            return
        held = getattr(self, name)
        if value != held:
            cure = f"; {_INSTEAD[name]}" if name in _INSTEAD else ""
            raise NotImplementedError(f"torch.compiler.config.{name} = {value!r}: here it is always {held!r}{cure}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_ALWAYS})


@contextlib.contextmanager
def patch(arg1: Any = None, arg2: Any = None, **kwargs: Any) -> Iterator[None]:
    """Settings for a while: `patch("name", value)`, `patch({...})` or `patch(name=value)`. Raises what setting them does."""
    for name, value in ({arg1: arg2} if isinstance(arg1, str) else dict(arg1 or kwargs)).items():
        setattr(sys.modules[__name__], name, value)
    yield


def save_config_portable() -> dict[str, Any]:
    """All settings by name."""
    return dict(_ALWAYS)


sys.modules[__name__].__class__ = _Config
