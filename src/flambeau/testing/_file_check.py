"""`torch.testing.FileCheck`: whether texts stand in a text, in order."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn


class _Check(NamedTuple):
    kind: str
    text: str
    times: int = 1
    exactly: bool = False

    @property
    def label(self) -> str:
        """How a failure names it."""
        return f"From CHECK{self.kind and '-' + self.kind}: {self.text}\n"


class FileCheck:
    """Texts that are looked for one after the other; `run` raises RuntimeError for the first that isn't where it should be.

    `check` looks behind the last one found, `check_next` on the next line, `check_same` on the same line, `check_dag`
    anywhere among its neighbours of that kind, `check_not` must not stand between the found ones, `check_count` looks
    several times, `check_regex` for a regular expression.
    """

    def __init__(self) -> None:
        self._checks: list[_Check] = []

    def _with(self, kind: str, text: str, count: int = 1, exactly: bool = False) -> FileCheck:
        self._checks.append(_Check(kind, text, count, exactly))
        return self

    def check(self, test_string: str) -> FileCheck:
        """The text stands behind what was found last."""
        return self._with("", test_string)

    def check_not(self, test_string: str) -> FileCheck:
        """The text doesn't stand before what is found next."""
        return self._with("NOT", test_string)

    def check_next(self, test_string: str) -> FileCheck:
        """The text stands on the next line."""
        return self._with("NEXT", test_string)

    def check_same(self, test_string: str) -> FileCheck:
        """The text stands on the same line."""
        return self._with("SAME", test_string)

    def check_dag(self, test_string: str) -> FileCheck:
        """The text stands behind what was found last; neighbours of this kind in any order."""
        return self._with("DAG", test_string)

    def check_regex(self, test_string: str) -> FileCheck:
        """A match of the regular expression stands behind what was found last."""
        return self._with("REGEX", test_string)

    def check_count(self, test_string: str, count: int, exactly: bool = False) -> FileCheck:
        """The text stands so many times; `exactly`: and not once more."""
        return self._with(f"COUNT-{'EXACTLY-' if exactly else ''}{count}", test_string, count, exactly)

    def check_source_highlighted(self, test_string: str) -> NoReturn:
        """Refused: it is about TorchScript's marks of source lines."""
        raise NotImplementedError(
            "check_source_highlighted is about TorchScript's marks of source lines, which are not made here"
        )

    def run(self, test_string: str) -> None:
        """Look in a text. RuntimeError says what was not found, or found where it must not be."""
        if not self._checks:
            raise RuntimeError("No checks have been added to this instance ofFilecheck! Check for bad input.")
        at, k, banned = 0, 0, []
        while k < len(self._checks):
            item = self._checks[k]
            k += 1
            if item.kind == "NOT":
                banned.append(item)
                continue
            group = [item]
            while item.kind == "DAG" and k < len(self._checks) and self._checks[k].kind == "DAG":
                group.append(self._checks[k])
                k += 1
            found = [_found(test_string, at, part) for part in group]
            _none_of(banned, test_string, at, min(start for start, _ in found))
            at, banned = max(end for _, end in found), []
        _none_of(banned, test_string, at, len(test_string))


def _found(text: str, at: int, item: _Check) -> tuple[int, int]:
    if item.kind == "REGEX":
        match = re.compile(item.text).search(text, at)
        if match is None:
            raise RuntimeError(
                f'Expected to find regex "{item.text}" but did not find it\nSearched string:\n{text[at:]}{item.label}'
            )
        return match.span()
    first = None
    for _ in range(item.times):
        start = text.find(item.text, at)
        if start < 0:
            raise RuntimeError(
                f'Expected to find "{item.text}" but did not find it\nSearched string:\n{text[at:]}{item.label}'
            )
        lines = text.count("\n", at, start)
        if item.kind == "SAME" and lines:
            _unwanted("\\n", item)
        if item.kind == "NEXT" and lines != 1:
            _unwanted("\\n", item) if lines else _missing(item, text[at:])
        first = start if first is None else first
        at = start + len(item.text)
    if item.exactly and text.find(item.text, at) >= 0:
        _unwanted(item.text, item)
    assert first is not None
    return first, at


def _missing(item: _Check, text: str) -> NoReturn:
    raise RuntimeError(f'Expected to find "\\n" but did not find it\nSearched string:\n{text}{item.label}')


def _unwanted(text: str, item: _Check) -> NoReturn:
    raise RuntimeError(f'Expected to not find "{text}" but found it\n{item.label}')


def _none_of(banned: list[_Check], text: str, start: int, end: int) -> None:
    for item in banned:
        if item.text in text[start:end]:
            _unwanted(item.text, item)
