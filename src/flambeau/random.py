"""`torch.random`: seeds and states of the default generator."""

from .core.dispatch.operator import namespaces

_NAMES = ("manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng", "default_generator")
_public = {**namespaces["torch"], **namespaces["random"]}
globals().update({name: _public[name] for name in _NAMES})


def thread_safe_generator() -> None:
    """None: the workers of a DataLoader are processes here, not threads, and draw from generators of their own."""
