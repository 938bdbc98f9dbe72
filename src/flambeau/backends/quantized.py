"""There are no quantized tensors, so no engine that computes with them."""

engine = "none"
supported_engines: list[str] = ["none"]
