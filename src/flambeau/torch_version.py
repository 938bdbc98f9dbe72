"""`torch.torch_version`: a version that is a text, and is compared as a version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["TorchVersion"]

_FORM = re.compile(
    r"\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?"
    r"(?:(?:[-_.]?(?:post|rev|r)[-_.]?(\d*))|-(\d+))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*",
    re.IGNORECASE,
)
_STAGES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def _key(text: str) -> tuple[Any, ...] | None:
    """What versions are ordered by (PEP 440); None for a text that is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    epoch, release, stage, number, post, bare_post, dev, dev_number, local = found.groups()
    numbers = [int(part) for part in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    after = post if post is not None else bare_post
    if stage:
        before: tuple[Any, ...] = (1, _STAGES.get(stage.lower(), stage.lower()), int(number or 0))
    else:
        before = (0,) if dev and after is None else (2,)
    parts = re.split(r"[-_.]", local.lower()) if local else ()
    return (
        int(epoch or 0), tuple(numbers), before, -1 if after is None else int(after or 0),
        (0, int(dev_number or 0)) if dev else (1,), tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts),
    )  # fmt: skip


class TorchVersion(str):
    """A version as a text that is compared by its numbers: with a text, another version, or `(2, 1)`. What is no version is a text.

    `!=` compares texts, as in PyTorch.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def _pair(self, other: Any) -> Any:
        """This one and another one, in a form in which they can be compared."""
        text = isinstance(other, str)
        if not text:
            if not isinstance(other, Iterable):
                return None
            other = ".".join(str(part) for part in other)
        keys = _key(str(self)), _key(str(other))
        if None in keys:
            return (str(self), str(other)) if text else None
        return keys

    def __eq__(self, other: object) -> bool:
        pair = self._pair(other)
        return False if pair is None else pair[0] == pair[1]

    def __lt__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] < pair[1]

    def __le__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] <= pair[1]

    def __gt__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] > pair[1]

    def __ge__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] >= pair[1]
