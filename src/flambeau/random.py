"""`torch.random`: seeds and states of the default generator."""

from typing import TYPE_CHECKING

from .core.dispatch.operator import namespaces

if TYPE_CHECKING:  # what is taken from there below, for type checkers
    from .ops.random.factories import default_generator as default_generator
    from .ops.random.factories import fork_rng as fork_rng
    from .ops.random.factories import get_rng_state as get_rng_state
    from .ops.random.factories import initial_seed as initial_seed
    from .ops.random.factories import manual_seed as manual_seed
    from .ops.random.factories import seed as seed
    from .ops.random.factories import set_rng_state as set_rng_state

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state", "thread_safe_generator"]


_NAMES = ("manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng", "default_generator")
_public = {**namespaces["torch"], **namespaces["random"]}
globals().update({name: _public[name] for name in _NAMES})


def thread_safe_generator() -> None:
    """None: the workers of a DataLoader are processes here, not threads, and draw from generators of their own."""
