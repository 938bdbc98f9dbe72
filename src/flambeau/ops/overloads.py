"""`torch.ops.aten`: operators by the names that PyTorch gives them below its public functions.

A name stands for the public function that computes it. The names are for comparing (policies of selective checkpointing
do) and, where the arguments are the same, for calling.
"""

from __future__ import annotations

from typing import Any

from ..core.dispatch.operator import namespaces

# PyTorch's name for what flambeau's operators (by their own names) compute, where it is another one
_BELOW = {
    "conv1d": "convolution", "conv2d": "convolution", "conv3d": "convolution",
    "conv_transpose1d": "convolution", "conv_transpose2d": "convolution", "conv_transpose3d": "convolution",
    "attention": "_scaled_dot_product_flash_attention_for_cpu", "softmax": "_softmax",
    "log_softmax": "_log_softmax", "layer_norm": "native_layer_norm", "batch_norm": "native_batch_norm",
    "group_norm": "native_group_norm", "cross_entropy": "nll_loss_forward", "dropout": "bernoulli_",
    "true_divide": "div", "subtract": "sub", "multiply": "mul",
}  # fmt: skip
# Names that stand for one computation here
_SAME = {
    "_scaled_dot_product_flash_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_cudnn_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "_flash_attention_forward": "_scaled_dot_product_flash_attention_for_cpu",
    "_efficient_attention_forward": "_scaled_dot_product_flash_attention_for_cpu",
}
_ABOVE = {below: above for above, below in reversed(_BELOW.items())}
_OVERLOADS = frozenset(
    """default out Tensor Scalar Tensor_Tensor Tensor_Scalar Scalar_Tensor Tensor_mode Scalar_mode Tensor_out Scalar_out
    int int_Tensor dim dim_IntList dim_int IntList dims dimname correction self other mode float float_Tensor Tensor_float
    memory_format dtype names size vec padding indices n names_dim sections start complex bool""".split()
)
_TENSOR = {"add", "sub", "mul", "div", "remainder", "floor_divide", "eq", "ne", "lt", "le", "gt", "ge"}


class OpOverload:
    """One operator: `torch.ops.aten.mm.default`. It is the same object, and compares equal, wherever it is met."""

    __module__ = "flambeau._ops"

    def __init__(self, packet: OpOverloadPacket, overload: str):
        self.overloadpacket = packet
        self.namespace = "aten"
        self._overloadname = overload
        self._qualified_op_name = f"aten::{packet.__name__}"
        self.__name__ = f"{packet.__name__}.{overload}"

    def name(self) -> str:
        """`aten::add.Tensor`; a default overload is not named."""
        return self._qualified_op_name + ("" if self._overloadname == "default" else f".{self._overloadname}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.overloadpacket(*args, **kwargs)

    def __str__(self) -> str:
        return f"aten.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='aten.{self.overloadpacket.__name__}', overload='{self._overloadname}')>"


class OpOverloadPacket:
    """All overloads of an operator: `torch.ops.aten.mm`."""

    __module__ = "flambeau._ops"

    def __init__(self, name: str, function: Any):
        self.__name__ = name
        self._function = function

    def __getattr__(self, overload: str) -> OpOverload:
        if overload not in _OVERLOADS:
            raise AttributeError(f"The underlying op of 'aten.{self.__name__}' has no overload name '{overload}'")
        made = self.__dict__[overload] = OpOverload(self, overload)
        return made

    def overloads(self) -> list[str]:
        """The names of the overloads that were asked for so far: flambeau's operators have no fixed list of them."""
        return [name for name in self.__dict__ if name in _OVERLOADS]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._function is None:
            raise NotImplementedError(f"aten.{self.__name__} is a name to compare with here: call the public function")
        return self._function(*args, **kwargs)

    def __str__(self) -> str:
        return f"aten.{self.__name__}"

    __repr__ = __str__


class _Aten:
    """The look-up: an attribute for each operator that flambeau has."""

    def __getattr__(self, name: str) -> OpOverloadPacket:
        name_below = _SAME.get(name, name)
        found = self.__dict__.get(name_below)
        if found is None:
            public = [
                namespaces[space][name_below] for space in ("torch", "nn.functional") if name_below in namespaces[space]
            ]
            if not public and name_below not in _ABOVE and name_below not in _ONLY_NAMES:
                raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
            found = self.__dict__[name_below] = OpOverloadPacket(name_below, public[0] if public else None)
        self.__dict__[name] = found
        return found


_ONLY_NAMES = {"view", "t", "transpose", "detach", "expand", "_unsafe_view", "size", "numel", "dim", "stride"}
aten = _Aten()


def overload_of(name: str, arrays: Any) -> OpOverload:
    """What PyTorch calls the computation of an operator of ours (by its name) on these arguments."""
    if name == "linear":
        name = "addmm" if len(arrays) > 2 else "mm"
    elif name in ("matmul", "rmatmul") and len(arrays) == 2:
        left, right = (getattr(a, "ndim", 0) for a in arrays)
        name = {(1, 1): "dot", (2, 1): "mv", (2, 2): "mm"}.get((left, right), "mm" if right == 2 else "bmm")
    name = _BELOW.get(name, name)
    packet = aten.__dict__.get(name) or aten.__dict__.setdefault(name, OpOverloadPacket(name, None))
    if name in namespaces["torch"] and packet._function is None:
        packet._function = namespaces["torch"][name]
    return getattr(packet, "Tensor" if name in _TENSOR else "default")
