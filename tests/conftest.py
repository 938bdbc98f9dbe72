"""The tests run on JAX's CPU backend, whatever the machine has."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")


def pytest_report_header() -> list[str]:
    """Which flambeau is tested: the installed one, or one that PYTHONPATH names."""
    import flambeau
    from flambeau import native

    return [f"flambeau: {flambeau.__file__}, native kernels: {native.why_not() or 'used'}"]
