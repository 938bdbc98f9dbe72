"""The tests run on JAX's CPU backend, whatever the machine has; the ordinary run draws the same numbers each time."""

from __future__ import annotations

import gc
import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import is_hypothesis_test, settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
FROZEN = gc.get_freeze_count()  # by Python 3.12 itself

# `-m slow` sweeps: property tests run there too, with other examples each time and with more of them (support.properties).
settings.register_profile("ordinary", derandomize=True, database=None, deadline=None)
settings.register_profile("sweep", derandomize=False, print_blob=True, deadline=None)


def _sweeps(config: pytest.Config) -> bool:
    return config.option.markexpr.strip() == "slow"


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("sweep" if _sweeps(config) else "ordinary")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    for item in items:
        if _sweeps(config) and is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """No test draws what another one has left of a stream: alone or among others, it gets the same numbers."""
    import torch

    import flambeau
    from flambeau.core.context import warned
    from support import oracle

    oracle.without_notes()
    warned._given.clear()  # nor is a warning that is given once in a process heard by the first test alone
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    flambeau.manual_seed(0)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A compiled function holds the collector still while it is traced, and no longer."""
    assert gc.isenabled() and gc.get_freeze_count() <= FROZEN


def pytest_report_header() -> list[str]:
    """Which flambeau is tested: the installed one, or one that PYTHONPATH names."""
    import flambeau
    from flambeau import native

    return [f"flambeau: {flambeau.__file__}, native kernels: {native.why_not() or 'used'}"]
