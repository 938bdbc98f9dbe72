"""MKL is not used."""


def is_available() -> bool:
    """Never."""
    return False
