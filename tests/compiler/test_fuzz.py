"""Programs written at random: nested state of every kind, a step that reads and writes it, changes between the calls.

Each seed gives the source of one script (shown when it fails): a state of containers, objects and modules inside each other, a
step that reaches leaves by chains of attributes, items, helpers and loops and writes some of them, and statements that change
something between the calls.
"""

from __future__ import annotations

import collections
import random
import types
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, attempt
from flambeau import nn


class Box(types.SimpleNamespace):
    def __hash__(self) -> int:
        return id(self)


class Slots:
    __slots__ = ("a", "b", "c")


class Part(nn.Module):
    pass


def boxed(**values: Any) -> Box:
    return Box(**values)


def slotted(**values: Any) -> Slots:
    made = Slots()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def module(**values: Any) -> Part:
    made = Part()
    for name, value in values.items():
        setattr(made, name, value)
    return made


NAMES = ("a", "b", "c")
LEAVES = ("int", "float", "bool", "str", "none", "tensor", "array")
# changes after which the step rightly runs uncompiled: `float(t.sum())` and `if t` need a value, `a += 1` writes into NumPy's memory
UNCOMPILED = {("array", "tensor"), ("bool", "tensor"), ("int", "array")}
CONTAINERS = ("list", "dict", "box", "tuple", "module", "slots", "deque", "ordered")


class Writer:
    """Writes the source of one script."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.leaves: list[tuple[str, str, bool]] = []  # where, kind, whether the place can be assigned
        self.places: list[tuple[str, str]] = []  # containers: where, kind
        self.used: list[tuple[str, str, bool]] = []  # the leaves that the step reads
        self.helpers: list[str] = []

    def leaf(self, kind: str) -> str:
        r = self.random
        return {
            "int": lambda: str(r.randint(-3, 5)),
            "float": lambda: repr(r.choice([0.5, 1.0, 2.0, -1.5])),
            "bool": lambda: repr(r.random() < 0.5),
            "str": lambda: repr("ab" * r.randint(0, 3)),
            "none": lambda: "None",
            "tensor": lambda: f"fb.full(({r.randint(1, 3)},), {r.randint(0, 5)}.0)",
            "array": lambda: f"np.full(({r.randint(1, 3)},), {r.randint(0, 5)}.0)",
        }[kind]()

    def value(self, where: str, depth: int, assignable: bool) -> str:
        """An expression; where its parts will be is remembered."""
        r = self.random
        if depth == 0 or r.random() < 0.2:
            kind = r.choice(LEAVES)
            self.leaves.append((where, kind, assignable))
            return self.leaf(kind)
        kind = r.choice(CONTAINERS)
        self.places.append((where, kind))
        n = r.randint(1, 3)
        if kind in ("list", "tuple", "deque"):
            parts = [self.value(f"{where}[{i}]", depth - 1, kind != "tuple") for i in range(n)]
            text = ", ".join(parts)
            return {"list": f"[{text}]", "tuple": f"({text},)", "deque": f"collections.deque([{text}])"}[kind]
        if kind in ("dict", "ordered"):
            parts = [f"{k!r}: {self.value(f'{where}[{k!r}]', depth - 1, True)}" for k in NAMES[:n]]
            text = "{" + ", ".join(parts) + "}"
            return text if kind == "dict" else f"collections.OrderedDict({text})"
        parts = [f"{k}={self.value(f'{where}.{k}', depth - 1, True)}" for k in NAMES[:n]]
        return {"box": "boxed", "module": "module", "slots": "slotted"}[kind] + "(" + ", ".join(parts) + ")"

    def reach(self, where: str) -> str:
        """Another way to write the same place."""
        r = self.random
        if where.endswith("]") and r.random() < 0.3:
            base, _, key = where[:-1].rpartition("[")
            return f"operator.getitem({self.reach(base)}, {key})"
        if "." in where.rpartition("]")[2] and not where.endswith("]"):
            base, _, name = where.rpartition(".")
            if base and r.random() < 0.5:
                way = r.choice(["getattr({0}, {1!r})", "operator.attrgetter({1!r})({0})", "helper"])
                if way != "helper":
                    return way.format(self.reach(base), name)
                helper = f"get_{len(self.helpers)}"
                self.helpers.append(f"    def {helper}(value):\n        return value.{name}")
                return f"{helper}({self.reach(base)})"
        return where

    def use(self, where: str, kind: str) -> str:
        e = self.reach(where)
        return {
            "int": f"y = y * {e} + 1",
            "float": f"y = y + {e}",
            "bool": f"y = y * 2 if {e} else y - 1",
            "str": f"y = y + len({e})",
            "none": f"y = y if {e} is None else y * 3",
            "tensor": f"y = y + {e}.sum()",
            "array": f"y = y + float({e}.sum())",
        }[kind]

    def use_of_a_container(self, where: str, kind: str) -> str:
        e = self.reach(where)
        if kind in ("list", "tuple", "deque"):
            return self.random.choice([f"y = y + len({e})", f"y = y + sum(1 for v in {e} if v is not None)"])
        if kind in ("dict", "ordered"):
            return self.random.choice(
                [f"y = y + len({e})", f"y = y * 2 if 'c' in {e} else y", f"y = y + len([*{e}.items()])"]
            )
        return f"y = y + (10 if hasattr({e}, 'c') else 1)"

    def write(self, where: str, kind: str) -> str | None:
        """A statement within the step that writes a leaf."""
        return {
            "int": f"{where} += 1",
            "float": f"{where} = {where} * 0.5",
            "bool": f"{where} = not {where}",
            "str": f"{where} += 'c'",
            "tensor": self.random.choice([f"{where} = {where} * 0.5 + 1", f"{where}.add_(1)"]),
        }.get(kind)

    def change(self) -> str:
        """A statement between two calls."""
        r = self.random
        place, kind = r.choice(self.places) if self.places else ("", "")
        pick = r.random()
        if pick < 0.15 and kind in ("list", "deque"):
            return f"{place}.append({self.leaf(r.choice(LEAVES))})"
        if pick < 0.3 and kind in ("dict", "ordered"):
            return f"{place}['c'] = {self.leaf(r.choice(LEAVES))}"
        where, kind, assignable = r.choice(self.used if r.random() < 0.7 else self.leaves)
        if kind == "tensor" and r.random() < 0.5:
            return f"{where}.mul_(2)"
        if kind == "array" and r.random() < 0.7:
            return f"{where}[0] += 3"
        if not assignable:
            return self.change() if any(leaf[2] for leaf in self.leaves) else "pass"
        other = kind if r.random() < 0.75 else r.choice(LEAVES)
        if (kind, other) in UNCOMPILED:
            other = kind
        return f"{where} = {self.leaf(other)}"

    def script(self) -> str:
        r = self.random
        roots = {name: self.value(name, 3, False) for name in ("root", "other", "GLOBAL")}
        body = []
        self.used = r.sample(self.leaves, min(5, len(self.leaves)))
        for where, kind, assignable in self.used:
            written = self.write(where, kind) if assignable and r.random() < 0.35 else None
            if written and r.random() < 0.5:
                body.append(written)
            body.append(self.use(where, kind))
            if written and body[-2:-1] != [written]:
                body.append(written)
        for where, kind in r.sample(self.places, min(2, len(self.places))):
            body.append(self.use_of_a_container(where, kind))
        lines = ["def script(compile, x):", "    global GLOBAL"]
        lines += [f"    {name} = {text}" for name, text in roots.items()]
        lines += self.helpers
        lines += ["    def step(y, other):", *(f"        {line}" for line in body), "        return y"]
        looks = ", ".join(f"look(lambda: {where})" for where, _, _ in self.leaves)
        lines += [f"    def looks():\n        return [{looks}]", "    f = compile(step)"]
        for _ in range(4):
            lines.append("    yield attempt(f, x, other), looks()")
            lines += [
                "    try:",
                f"        {self.change()}",
                "    except (TypeError, AttributeError, IndexError, KeyError): pass",
            ]
        return "\n".join(lines)


def look(get: Any) -> Any:
    value = attempt(get)
    return value if isinstance(value, (int, float, str, type(None), fb.Tensor, np.ndarray)) else type(value).__name__


def play(seed: int) -> None:
    source = Writer(seed).script()
    names: dict[str, Any] = {
        "fb": fb, "np": np, "collections": collections, "operator": __import__("operator"), "attempt": attempt, "look": look,
        "boxed": boxed, "slotted": slotted, "module": module, "__name__": "fuzz",
    }  # fmt: skip
    exec(compile(source, f"fuzz_{seed}.py", "exec"), names)
    try:
        Case(names["script"]).check()
    except BaseException as error:
        numbered = "\n".join(f"{i:3} {line}" for i, line in enumerate(source.split("\n"), 1))
        pytest.fail(f"seed {seed}: {error}\n{numbered}", pytrace=False)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 3000, 50))
def test_many_random_programs(start: int) -> None:
    for seed in range(start, start + 50):
        play(seed)
