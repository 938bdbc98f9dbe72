"""Tensors that lie on a mesh of processes: their class, and how they may lie. None can be made yet."""

from ...core.tensor.tensor import Tensor
from .. import _later
from ..device_mesh import DeviceMesh, init_device_mesh
from .placement_types import Partial, Placement, Replicate, Shard

DTensor = type(
    "DTensor",
    (Tensor,),
    {
        "__new__": _later.function("DTensor", __name__),
        "__module__": __name__,
        "__doc__": "A tensor that lies on a mesh. None can be made yet.",
        "from_local": staticmethod(_later.function("DTensor.from_local", __name__)),
    },
)
_NAMES = ("distribute_tensor", "distribute_module", "empty", "full", "ones", "rand", "randn", "zeros")
globals().update({name: _later.function(name, __name__) for name in _NAMES})

__all__ = ["DTensor", "Partial", "Placement", "Replicate", "Shard", *_NAMES]
