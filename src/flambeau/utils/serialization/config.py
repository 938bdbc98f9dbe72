"""`load` and `save`: what `torch.load` and `torch.save` do unless they are told otherwise. Names that are none raise AttributeError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ...checkpoint import settings as _settings

__all__ = ["load", "patch", "save"]


class _Names:
    """Attributes with a place where each is kept; a value that can't be had here is refused."""

    def __init__(self, name: str, kept: dict[str, str], fixed: dict[str, Any]):
        vars(self).update(_name=f"torch.utils.serialization.config.{name}", _kept=kept, _fixed=fixed)

    def __getattr__(self, name: str) -> Any:
        if name in self._kept:
            return getattr(_settings.settings, self._kept[name])
        if name in self._fixed:
            return self._fixed[name]
        raise AttributeError(f"{self._name}.{name} does not exist")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._kept:
            setattr(_settings.settings, self._kept[name], value)
        elif getattr(self, name) != value:
            raise NotImplementedError(
                f"{self._name}.{name}={value!r} is not supported: it is {self._fixed[name]!r} here"
            )


load: Any = _Names(
    "load",
    {"mmap": "mmap", "endianness": "endianness"},
    {"mmap_flags": _settings.get_default_mmap_options(), "calculate_storage_offsets": False},
)
save: Any = _Names("save", {"compute_crc32": "crc32"}, {"use_pinned_memory_for_d2h": False, "storage_alignment": 64})


@contextlib.contextmanager
def patch(names: dict[str, Any]) -> Iterator[None]:
    """In the `with` block these settings have these values: `{"load.mmap": True}`."""
    owners = [(globals()[part], name, value) for key, value in names.items() for part, _, name in [key.partition(".")]]
    before = [getattr(owner, name) for owner, name, _ in owners]
    try:
        for owner, name, value in owners:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(owners, before, strict=True):
            setattr(owner, name, value)
