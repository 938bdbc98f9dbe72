"""Whether Triton computes here. It does not: XLA does."""


def has_triton_package() -> bool:
    """Whether Triton can be imported, which says nothing of its use here."""
    import importlib.util

    return importlib.util.find_spec("triton") is not None


def has_triton() -> bool:
    """False: no kernels of Triton are compiled or run."""
    return False


def has_triton_tma() -> bool:
    """False, as `has_triton`."""
    return False


def has_triton_tma_device() -> bool:
    """False, as `has_triton`."""
    return False


def has_triton_stable_tma_api() -> bool:
    """False, as `has_triton`."""
    return False


__all__ = ["has_triton", "has_triton_package", "has_triton_stable_tma_api", "has_triton_tma", "has_triton_tma_device"]
