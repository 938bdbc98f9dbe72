"""How gradients travel between processes."""

from . import default_hooks, post_localSGD_hook, powerSGD_hook
