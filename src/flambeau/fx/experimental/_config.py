"""`torch.fx.experimental._config`: settings by name. Sizes are numbers here, so that another value is told in a warning."""

from ...compiler.settings import install

install(__name__)
