"""`torch.ao.nn.qat`: refused by name."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .._refused import names_of, publish_group, refused

__all__ = names_of("qat")

if not TYPE_CHECKING:
    __getattr__ = functools.partial(refused, "qat")

publish_group("qat", __name__)
publish_group("qat.dynamic", __name__)
