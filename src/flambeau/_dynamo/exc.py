"""`torch._dynamo.exc`: what compiling raises, under PyTorch's names."""

from __future__ import annotations

from ..compiler import CompileError

TorchDynamoException = RuntimeError
Unsupported = UserError = CompileError


class InternalTorchDynamoError(TorchDynamoException):
    """Never raised here; a name to catch."""


class TorchRuntimeError(TorchDynamoException):
    """Never raised here: what an operator raises while a function is traced comes as it is. A name to catch."""


class BackendCompilerFailed(TorchDynamoException):
    """Never raised here; a name to catch."""


class FailOnRecompileLimitHit(TorchDynamoException):
    """Never raised here: beyond the limit a function runs uncompiled, with a warning. A name to catch."""


class TensorifyScalarRestartAnalysis(TorchDynamoException):
    """Never raised here; a name to catch."""
