"""There are no quantized tensors, so no engine that computes with them."""

from ..core.dispatch.help import explain_namespace as _explain_namespace

engine = "none"
supported_engines: list[str] = ["none"]

_explain_namespace(globals(), "torch.backends.quantized")
