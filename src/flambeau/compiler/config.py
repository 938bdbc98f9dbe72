"""`torch.compiler.config`: settings of PyTorch's compiler by name.

Those that have no effect here can be set to what they are; another value is refused (NotImplementedError) rather than accepted. A name
that PyTorch has not is an AttributeError.
"""

from .settings import Refusing, install

install(__name__, Refusing)
