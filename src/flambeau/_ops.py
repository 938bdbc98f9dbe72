"""The objects of `torch.ops`, under torch's module path."""

from .core.dispatch.overloads import OpOverload, OpOverloadPacket, ops

__all__ = ["OpOverload", "OpOverloadPacket", "ops"]
