"""Arm's kernels, which flambeau does not use."""


def is_available() -> bool:
    """False."""
    return False
