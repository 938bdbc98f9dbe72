"""`torch.random`: seeds and states of the default generator."""

from .core.dispatch.operator import namespaces

_NAMES = ("manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng", "default_generator")
_public = {**namespaces["torch"], **namespaces["random"]}
globals().update({name: _public[name] for name in _NAMES})
