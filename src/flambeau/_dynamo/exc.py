"""`torch._dynamo.exc`: what compiling raises, under PyTorch's names."""

from __future__ import annotations

from ..compiler import CompileError
from ..compiler.backends import InvalidBackend as InvalidBackend
from ..compiler.compiled import FailOnRecompileLimitHit as FailOnRecompileLimitHit
from ..compiler.compiled import RecompileError as RecompileError

TorchDynamoException = RuntimeError
Unsupported = UserError = CompileError


class InternalTorchDynamoError(TorchDynamoException):
    """Never raised here; a name to catch."""


class TorchRuntimeError(TorchDynamoException):
    """Never raised here: what an operator raises while a function is traced comes as it is. A name to catch."""


class BackendCompilerFailed(TorchDynamoException):
    """Never raised here; a name to catch."""


class TensorifyScalarRestartAnalysis(TorchDynamoException):
    """Never raised here; a name to catch."""
