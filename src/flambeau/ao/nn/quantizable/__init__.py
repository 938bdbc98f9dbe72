"""`torch.ao.nn.quantizable`: recurrent layers and attention of single layers, each of which quantization could replace."""

from .modules import *
from .modules import __all__
