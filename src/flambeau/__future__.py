"""Ways of converting and loading modules that may become the usual ones. Both are off unless they are set."""

from .nn.modules._conversion import manner

__all__ = [
    "get_overwrite_module_params_on_conversion",
    "get_swap_module_params_on_conversion",
    "set_overwrite_module_params_on_conversion",
    "set_swap_module_params_on_conversion",
]


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Whether conversions (`module.to`, `double()`, ...) make new parameters instead of changing the old ones."""
    manner.overwrite = value


def get_overwrite_module_params_on_conversion() -> bool:
    """Whether conversions make new parameters."""
    return manner.overwrite


def set_swap_module_params_on_conversion(value: bool) -> None:
    """Whether conversions and `load_state_dict` make new tensors and swap them with the old ones (`utils.swap_tensors`)."""
    manner.swap = value


def get_swap_module_params_on_conversion() -> bool:
    """Whether conversions and loading swap tensors."""
    return manner.swap
