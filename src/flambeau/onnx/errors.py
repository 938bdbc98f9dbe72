"""`torch.onnx.errors`: what an export to ONNX raises."""

from __future__ import annotations

__all__ = ["OnnxExporterError", "OnnxExporterWarning", "SymbolicValueError", "UnsupportedOperatorError"]


class OnnxExporterWarning(UserWarning):
    """What the exporter warns of."""


class OnnxExporterError(RuntimeError):
    """A module that can't be exported."""


class UnsupportedOperatorError(OnnxExporterError):
    """A function, or a way to call it, for which there is no form in ONNX here."""

    def __init__(self, name: str, version: int, supported_version: int | None, why: str = ""):
        said = f"Exporting the operator '{name}' to ONNX opset version {version} is not supported"
        if supported_version is not None:
            said += (
                f". Support for this operator was added in version {supported_version}, try exporting with this version"
            )
        super().__init__(said + (f": {why}" if why else ""))


class SymbolicValueError(OnnxExporterError):
    """What PyTorch's symbolic functions raise about a value: nothing here does."""
