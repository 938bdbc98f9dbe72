"""`torch._functorch.config`: settings by name. There is no AOTAutograd, so that another value is told in a warning."""

from ..compiler.settings import install

install(__name__)
