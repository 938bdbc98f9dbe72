"""NVIDIA's library for sparse products, which flambeau does not use."""


def is_available() -> bool:
    """False."""
    return False


def version() -> None:
    """None: it is not there."""
    return None


def get_max_alg_id() -> None:
    """None: it is not there."""
    return None
