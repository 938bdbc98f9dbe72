"""Operators: one pure array function each, a file per family. Importing this package attaches the methods to `Tensor`."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
