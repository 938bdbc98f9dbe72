"""The module core and the layers, a file per family under PyTorch's file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.dispatch.help import explain_classes, explain_methods
from . import container, module
from .activation import *
from .adaptive import *
from .batchnorm import *
from .channelshuffle import *
from .container import *
from .conv import *
from .distance import *
from .dropout import *
from .flatten import *
from .fold import *
from .instancenorm import *
from .linear import *
from .linear_cross_entropy_options import LinearCrossEntropyOptions as LinearCrossEntropyOptions
from .loss import *
from .module import *
from .normalization import *
from .padding import *
from .pixelshuffle import *
from .pooling import *
from .rnn import *
from .sparse import *
from .transformer import *
from .upsampling import *

if not TYPE_CHECKING:  # type checkers take every name above
    __all__ = [
        name for name, value in globals().items() if isinstance(value, type) and issubclass(value, module.Module)
    ] + ["LinearCrossEntropyOptions"]
    explain_classes([globals()[name] for name in __all__], "torch.nn")
    explain_methods(module.Module, "torch.nn.Module")
