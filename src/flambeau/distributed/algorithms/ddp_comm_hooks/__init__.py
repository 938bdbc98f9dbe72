"""How gradients travel between processes."""

from . import debugging_hooks, default_hooks, post_localSGD_hook, powerSGD_hook

__all__ = []
