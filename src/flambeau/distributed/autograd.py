"""Gradients over calls of functions in other processes (see `rpc`): refused by name."""

from . import _later

__all__ = """
    context is_available
""".split()


def is_available() -> bool:
    """Never."""
    return False


for _name in ("backward", "get_gradients"):
    globals()[_name] = _later.function(_name, __name__)
for _name in ("DistAutogradContext", "context"):
    globals()[_name] = _later.kind(_name, __name__)
