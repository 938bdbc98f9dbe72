"""Where a quantized part of a model would begin and end. As long as nothing is quantized they give back their input."""

from __future__ import annotations

from typing import Any

from ...nn.modules.module import Module

__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]


class _Stub(Module):
    def __init__(self, qconfig: Any = None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Any) -> Any:
        return x


class QuantStub(_Stub):
    """Where a quantized part of a model would begin: its input. `convert`, which would change that, refuses."""


class DeQuantStub(_Stub):
    """Where a quantized part of a model would end: its input. `convert`, which would change that, refuses."""


class QuantWrapper(Module):
    """`module` between a `QuantStub` and a `DeQuantStub`."""

    quant: QuantStub
    dequant: DeQuantStub
    module: Module

    def __init__(self, module: Module):
        super().__init__()
        qconfig = getattr(module, "qconfig", None)
        self.add_module("quant", QuantStub(qconfig))
        self.add_module("dequant", DeQuantStub(qconfig))
        self.add_module("module", module)
        self.train(module.training)

    def forward(self, X: Any) -> Any:
        return self.dequant(self.module(self.quant(X)))
