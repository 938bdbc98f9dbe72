"""Convolutions by NNPACK, which flambeau does not use."""


def is_available() -> bool:
    """False."""
    return False
