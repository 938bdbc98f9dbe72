"""What a compiled function says of its programs: which input makes so many."""

from __future__ import annotations

import re
import warnings
from typing import Any

import flambeau as fb

FILE = re.escape(__file__)


def _told(function: Any, *calls: tuple[Any, ...]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for args, kwargs in calls:
            function(*args, **kwargs)
    return [str(w.message) for w in caught]


def test_sizes_name_the_argument_and_the_line() -> None:
    def step(scale, batch):
        return batch * scale

    told = _told(fb.compile(step), *[((2.0, fb.ones(n, 2)), {}) for n in range(1, 13)])
    line = step.__code__.co_firstlineno
    assert len(told) == 1, told
    assert re.search(rf"step \({FILE}, line {line}\) has been compiled 9 times", told[0])
    assert "argument 'batch': tensor [8, 2] float32 -> tensor [9, 2] float32" in told[0]


def test_numbers_name_the_argument_and_its_value() -> None:
    def cut(x, *, count):
        return x[:count]

    told = _told(fb.compile(cut), *[((fb.ones(20),), {"count": n}) for n in range(1, 13)])
    assert len(told) == 2 and "compiled 9 times" in told[0] and "runs uncompiled" in told[1]
    assert "argument 'count' = 9" in told[0] and "argument 'count' = 10" in told[1]


def test_a_part_of_an_argument() -> None:
    told = _told(fb.compile(lambda d: d["x"] + d["y"]), *[(({"x": fb.ones(n), "y": 1.0},), {}) for n in range(1, 11)])
    assert "a part of the argument 'd': tensor [8] float32 -> tensor [9] float32" in told[0]


def test_a_module_names_what_forward_has() -> None:
    class Doubled(fb.nn.Module):
        def forward(self, picture):
            return picture * 2

    told = _told(fb.compile(Doubled()), *[((fb.ones(n),), {}) for n in range(1, 11)])
    assert "argument 'picture'" in told[0] and __file__ in told[0]


def test_an_attribute_is_named() -> None:
    class Settings:
        count = 1

    settings = Settings()
    compiled = fb.compile(lambda x: x[: settings.count])
    told = []
    for n in range(1, 12):
        settings.count = n
        told += _told(compiled, ((fb.ones(20),), {}))
    assert "'count' of a Settings = 9" in told[0]
