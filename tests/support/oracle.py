"""torch without the notes that it takes for its own tests: they cost more than what is compared.

For each seed torch writes down the stack as text, for devices that are not there yet, and keeps it; for each sample of its databases it
reads the source of every frame of the stack. No test here asks for either.
"""

from __future__ import annotations

import torch


def without_notes() -> None:
    """Seeds are for the processor alone: `torch.manual_seed` keeps nothing for devices that would be there later."""
    for device, module in ((torch.cuda, torch.cuda.random), (torch.xpu, torch.xpu.random), (torch.mtia, torch.mtia)):
        if not device.is_available():
            module._lazy_call = _nothing


def samples_without_notes() -> None:
    """Samples of torch's databases are not traced back to the test that takes them."""
    from torch.testing._internal import common_utils
    from torch.testing._internal.opinfo import core

    for module in (common_utils, core):  # each has the name as its own
        module.extract_test_fn = _nothing


def _nothing(*_: object, **__: object) -> None:
    return None
