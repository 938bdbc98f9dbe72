"""Ways of converting and loading modules that may become the usual ones. Both are off unless they are set."""

from .nn.modules._conversion import manner
from .runtime.settings import asks_setting, changes_setting

__all__ = [
    "get_overwrite_module_params_on_conversion",
    "get_swap_module_params_on_conversion",
    "set_overwrite_module_params_on_conversion",
    "set_swap_module_params_on_conversion",
]


@changes_setting
def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Whether conversions (`module.to`, `double()`, ...) make new parameters instead of changing the old ones."""
    manner.overwrite = value


@asks_setting
def get_overwrite_module_params_on_conversion() -> bool:
    """Whether conversions make new parameters."""
    return manner.overwrite


@changes_setting
def set_swap_module_params_on_conversion(value: bool) -> None:
    """Whether conversions and `load_state_dict` make new tensors and swap them with the old ones (`utils.swap_tensors`)."""
    manner.swap = value


@asks_setting
def get_swap_module_params_on_conversion() -> bool:
    """Whether conversions and loading swap tensors."""
    return manner.swap
