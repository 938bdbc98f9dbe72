"""A device and the process that it belongs to, in one text."""

from __future__ import annotations

from typing import Any

from ..core.array.devices import device
from ..core.dispatch.messages import message

__all__: list[str] = []


class _remote_device:
    """`worker/device`, `rank:2/device`, or a device of this process. ValueError for another text, TypeError for what is none.

    Args:
        remote_device: the text, or a device. Without a device it is the CPU.
    """

    def __init__(self, remote_device: str | device):
        if not isinstance(remote_device, (str, device)):
            raise TypeError(f"Invalid type for remote_device: {type(remote_device)}")
        text = str(remote_device)
        owner, slash, place = text.partition("/")
        if not slash and self._is_local(text):
            owner, place = "", text
        elif not slash:
            place = "cpu"
        self._worker: str | None = None
        self._rank: int | None = None
        if slash or not self._is_local(text):
            self._read_owner(owner, place, text)
        self._device = device(place)

    def _read_owner(self, owner: str, place: str, text: str) -> None:
        kind, colon, number = owner.partition(":")
        if not owner or "/" in place or (colon and (kind != "rank" or not number.isdigit())):
            raise ValueError(message("remote_device", text=text))
        if colon:
            self._rank = int(number)
        else:
            self._worker = owner

    @staticmethod
    def _is_local(text: str) -> bool:
        try:
            device(text)
        except Exception:
            return False
        return True

    def worker_name(self) -> str | None:
        """The worker's name, if it was given."""
        return self._worker

    def rank(self) -> int | None:
        """The rank, if it was given."""
        return self._rank

    def device(self) -> Any:
        """The device in that process."""
        return self._device

    def __repr__(self) -> str:
        owner = self._worker if self._worker is not None else None if self._rank is None else f"rank:{self._rank}"
        return str(self._device) if owner is None else f"{owner}/{self._device}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _remote_device) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash((self._worker, self._device, self._rank))
