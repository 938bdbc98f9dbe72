"""How gradients travel between processes. There is nothing to send with one."""

from . import default_hooks, post_localSGD_hook, powerSGD_hook
