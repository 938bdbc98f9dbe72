"""Functions that change a module in place: cut over devices, replicated over processes, checkpointed."""

from . import fsdp
from .checkpoint_activation import checkpoint
from .replicate import replicate
