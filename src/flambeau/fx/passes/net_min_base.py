"""`torch.fx.passes.net_min_base`: errors of a search for the part of a graph that goes wrong on another device."""

__all__ = ["FxNetMinimizerBadModuleError", "FxNetMinimizerResultMismatchError", "FxNetMinimizerRunFuncError"]


class FxNetMinimizerBadModuleError(Exception):
    """A part can't be made."""


class FxNetMinimizerRunFuncError(Exception):
    """A part can't be run."""


class FxNetMinimizerResultMismatchError(Exception):
    """A part gives other values."""
