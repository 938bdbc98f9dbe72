"""`torch._inductor.config`: settings by name. XLA has its own, so that another value is told in a warning."""

from ..compiler.settings import install

install(__name__)
