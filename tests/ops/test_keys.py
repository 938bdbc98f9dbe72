"""`x[key]` and `x[key] = value` for keys of all kinds, right and wrong ones: values, types and texts of errors are torch's."""

from __future__ import annotations

import random
import warnings

import pytest
import torch

import flambeau as fb

ROWS = """
0 / None / ... / True / False / 1:2 / torch.tensor(0) / torch.tensor([0]) / [0] / 0, 0 / None, 0 / ..., 0 / True, 0 / (0,) / torch.tensor(True)
(True,) / (False,) / True, ... / None, True / 0, True / torch.tensor(0), torch.tensor(True) / torch.tensor(True), 0
True, 9 / None, 9 / None, 0, 9 / True, None, 0, 9 / 0, True, 9 / ..., 9 / torch.tensor([True, False, True]), 9 / True, torch.tensor([9])
torch.tensor(0), torch.tensor([True, False, True, True]) / torch.tensor([True, False, True]), True / torch.tensor([True, False, True])
torch.tensor([0, 9]), torch.tensor([1, 1, 1]) / torch.tensor([0, 0]), torch.tensor([1, 1, 1]) / torch.tensor([5, 9]), torch.tensor([9])
torch.tensor([1], dtype=torch.uint8) / None, torch.tensor([1], dtype=torch.uint8) / torch.tensor([0.0]) / False, torch.tensor([9])
..., ... / ..., ..., 0 / ..., ..., : / ..., ..., 1:2 / ..., ..., None / ..., ..., True / ..., ..., [0] / ..., 0, ... / 0, ..., ..., 1
None, ..., ..., None / ..., [0], ..., [0] / ..., [0], ..., None / :, ..., :, ...
"""
KEYS = [key.strip() for line in ROWS.split("\n") for key in line.split(" / ") if key.strip()]
VALUES = [
    "7",
    "torch.tensor(3)",
    "torch.tensor([3])",
    "torch.tensor([1.0, 2.0])",
    "torch.tensor([1, 2.0]).double()",
    "torch.zeros(77)",
]


def _done(library: object, code: str, x: object) -> list[object]:
    names = {"torch": library, "x": x}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(f"made = {code}" if "=" not in code.replace("dtype=", "") else code, names)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            return [type(error).__name__, str(error).split("\n")[0]]
    return [names.get("made", x).tolist()]  # type: ignore[attr-defined]


def _agree(theirs: list[object], ours: list[object], code: str) -> None:
    assert theirs[0] == ours[0] and (len(theirs) == 1 or str(theirs[1]) in str(ours[1])), (code, theirs, ours)


@pytest.mark.parametrize("shape", [(), (3, 4), (0, 4)])
def test_keys(shape):
    for key in KEYS:
        for code in (f"x[{key}]", *(f"x[{key}] = {value}" for value in VALUES)):
            made = [_done(lib, code, lib.zeros(shape, dtype=lib.float64)) for lib in (torch, fb)]
            if "got" not in str(made[0]) or "size" in str(made[0]):  # dtypes are told in other words
                _agree(*made, code)
            else:
                assert made[0][0] == made[1][0], code


def test_index_put():
    parts = [
        "[9]",
        "[0, 9], [1, 1, 1]",
        "[0, 0], [1, 1, 1]",
        "[True, False]",
        "[True, False, True], [9]",
        "[[True]]",
        "[0], [9]",
        "[0.0]",
    ]
    for part in parts:
        places = ", ".join(f"torch.tensor({p}])" for p in part.removesuffix("]").split("], "))
        for value in VALUES[1:]:
            for form, more in (("index_put", ""), ("index_put", ", accumulate=True"), ("index_put_", "")):
                code = f"x.{form}(({places},), {value}{more.replace('accumulate=True', 'True')})"
                _agree(*(_done(lib, code, lib.zeros(3, 4, dtype=lib.float64)) for lib in (torch, fb)), code)


def _item(draw: random.Random, n: int) -> str:
    place = draw.randint(-n, n - 1) if n else 0
    kinds = [
        str(draw.randint(-n - 1, n)), f"{draw.randint(-4, 4)}:{draw.randint(-4, 4)}:{draw.randint(1, 3)}", ":", "None", "...", "True",
        "False", f"torch.tensor({draw.random() < 0.5})", f"torch.tensor({place})", f"[{place}, {place}]", "[]", f"range({draw.randint(0, 2)})",
        f"torch.tensor({[draw.random() < 0.5 for _ in range(n)]}, dtype=torch.bool)", f"{[draw.random() < 0.5 for _ in range(n)]}",
        f"torch.tensor({[draw.randint(0, 1) for _ in range(n)]}, dtype=torch.uint8)", f"torch.tensor([[{place}, 0], [0, {place}]])",
    ]  # fmt: skip
    return draw.choice(kinds)


@pytest.mark.parametrize("count", [80, pytest.param(3000, marks=pytest.mark.slow)])
def test_random_keys(count):
    draw = random.Random(count)
    for _ in range(count):
        shape = [draw.choice([1, 2, 3, 4, draw.choice([0, 1])]) for _ in range(draw.randint(0, 4))]
        items = [_item(draw, n) for n in shape[: draw.randint(1, 4)]] or [
            draw.choice(["None", "...", "True", "False", "0"])
        ]
        key = ", ".join(items) + draw.choice(["", ","])
        for code in (f"(x * 1)[{key}]", f"x[{key}] = {draw.choice(VALUES)}"):
            made = []
            for lib in (torch, fb):
                x = (
                    lib.arange(24.0**4, dtype=lib.float64)[: lib.tensor(shape).prod().item() if shape else 1]
                    .reshape(shape)
                    .clone()
                )
                made.append(_done(lib, code, x))
            _agree(*made, f"{shape} {code}")
