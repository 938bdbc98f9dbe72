"""`torch.onnx.errors`: what an export to ONNX raises."""

from __future__ import annotations

__all__ = ["OnnxExporterError", "OnnxExporterWarning", "SymbolicValueError", "UnsupportedOperatorError"]


registered: set[str] = set()  # operators for which a form of TorchScript's exporter was registered, which is not here


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
        if name in registered or name.replace(".", "::", 1).partition(".")[0] in registered:
            why = (f"{why}; " if why else "") + "the form that was registered for it belongs to TorchScript's exporter"
        super().__init__(said + (f": {why}" if why else ""))


class SymbolicValueError(OnnxExporterError):
    """What PyTorch's symbolic functions raise about a value: nothing here does."""
