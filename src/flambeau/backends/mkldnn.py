"""The switch of torch's oneDNN operators; flambeau's own oneDNN kernels do not look at it."""

enabled = True


def is_available() -> bool:
    """Never."""
    return False
