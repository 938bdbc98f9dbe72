"""The older name of `torch.distributed.tensor`."""

from ..tensor import *
from ..tensor import DeviceMesh, DTensor, Partial, Placement, Replicate, Shard
