"""The names by which `torch.library` tells kernels apart. Nothing is dispatched by their order here."""

from __future__ import annotations

import enum
from typing import Any

KEYS = (
    "Undefined CPU CUDA HIP XLA MTIA MPS IPU XPU HPU VE Lazy Meta PrivateUse1 QuantizedCPU QuantizedCUDA SparseCPU SparseCUDA "
    "SparseCsrCPU SparseCsrCUDA NestedTensorCPU NestedTensorCUDA BackendSelect Python Fake FuncTorchDynamicLayerBackMode "
    "Functionalize Named Conjugate Negative ZeroTensor ADInplaceOrView AutogradOther AutogradFunctionality AutogradNestedTensor "
    "AutogradCPU AutogradCUDA AutogradXLA AutogradMPS AutogradXPU AutogradHPU AutogradLazy AutogradMeta AutogradPrivateUse1 "
    "Tracer AutocastCPU AutocastCUDA AutocastXPU AutocastMPS FuncTorchBatched BatchedNestedTensor FuncTorchVmapMode Batched "
    "VmapMode FuncTorchGradWrapper DeferredInit PythonTLSSnapshot FuncTorchDynamicLayerFrontMode PreDispatch PythonDispatcher "
    "Autograd CompositeImplicitAutograd CompositeImplicitAutogradNestedTensor CompositeExplicitAutograd "
    "CompositeExplicitAutogradNonFunctional FuncTorchBatchedDecomposition"
)

DispatchKey = enum.Enum("DispatchKey", KEYS, start=0, module="flambeau")  # type: ignore[misc]
DispatchKey.__doc__ = "A name under which a kernel is registered."
Tag = enum.IntEnum(  # type: ignore[misc]
    "Tag",
    "core cudagraph_unsafe data_dependent_output dynamic_output_shape flexible_layout generated inplace inplace_view "
    "maybe_aliasing_or_mutating needs_contiguous_strides needs_exact_strides needs_fixed_stride_order nondeterministic_bitwise "
    "nondeterministic_seeded out out_variant pointwise pt2_compliant_tag reduction view_copy",
    start=0,
    module="flambeau",
)
Tag.__doc__ = "What else may be said of an operator."
Tag.__repr__ = lambda self: f"<Tag.{self.name}: {self.value}>"  # type: ignore[method-assign, attr-defined]
Tag.__str__ = lambda self: f"Tag.{self.name}"  # type: ignore[method-assign, attr-defined]


class DispatchKeySet:
    """Some dispatch keys."""

    __module__ = "flambeau._C"

    def __init__(self, *keys: Any):
        self._keys = frozenset(keys)

    def has(self, key: Any) -> bool:
        """Whether a key is among them."""
        return key in self._keys

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(*self._keys, *other._keys)

    def __repr__(self) -> str:
        return f"DispatchKeySet({', '.join(sorted(k.name for k in self._keys))})"


__all__ = ["KEYS", "DispatchKey", "DispatchKeySet", "Tag"]
