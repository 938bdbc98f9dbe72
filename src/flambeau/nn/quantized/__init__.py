"""`torch.nn.quantized`: of it the modules that compute with floats; the quantized ones are not here."""

from .functional_modules import FloatFunctional

__all__ = ["FloatFunctional"]
