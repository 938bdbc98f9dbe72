"""Neural networks: modules, parameters, functions, initialisations, utilities."""

from __future__ import annotations

from . import functional, init
from .modules import *
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

from . import attention, common_types, modules, parallel, parameter, utils  # isort: skip
from .parallel import DataParallel  # isort: skip
