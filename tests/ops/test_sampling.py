"""Images read at other places: `grid_sample`, `affine_grid`, antialiased `interpolate`, against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import flambeau.nn.functional as ours_f
from support.rows import agree, refuse
from support.values import same, to_flambeau

BEFORE = "F = t.nn.functional; "
PADDINGS = ("zeros", "border", "reflection")
EDGES = "v([-1, 1, 0, -0.5, 0.5, 3, -3, 1 / 3] * {})"  # places at which the gradient changes
INPUTS = {
    2: ("f(2, 3, 4, 5), 1.5 * f(2, 3, 7, 2)", "f(1, 2, 4, 3), " + EDGES.format(2) + ".reshape(1, 4, 2, 2)"),
    3: ("f(2, 2, 3, 4, 2), 1.5 * f(2, 2, 1, 3, 3)", "f(1, 2, 2, 4, 3), " + EDGES.format(3) + ".reshape(1, 2, 2, 2, 3)"),
}


KINDS = [(2, "bilinear"), (2, "nearest"), (2, "bicubic"), (3, "bilinear"), (3, "nearest")]
OPTIONS = [  # each padding of each kind is in the ordinary run with one of the two alignments
    pytest.param(*kind, padding, align, marks=[pytest.mark.slow] * ((i + j + align) % 2))
    for (i, kind), (j, padding), align in itertools.product(enumerate(KINDS), enumerate(PADDINGS), (True, False))
]


@pytest.mark.parametrize("dims, mode, padding, align", OPTIONS)
def test_grid_sample(dims: int, mode: str, padding: str, align: bool) -> None:
    for arguments in INPUTS[dims]:
        agree(f"{BEFORE}F.grid_sample({arguments}, '{mode}', '{padding}', {align})")


@pytest.mark.parametrize(
    "row",
    [
        "F.affine_grid(f(2, 2, 3), [2, 3, 4, 5], align_corners=False)",
        "F.affine_grid(f(2, 2, 3), (2, 3, 1, 5), align_corners=True)",
        "F.affine_grid(f(2, 3, 4), t.Size([2, 3, 4, 5, 2]), align_corners=False)",
        "F.grid_sample(f(0, 3, 4, 5), f(0, 2, 2, 2), align_corners=False)",
        "F.grid_sample(f(1, 1, 3, 3), v([inf, 0, -inf, 0, nan, 0, 0, inf]).reshape(1, 1, 4, 2), 'nearest', 'border', True)",
        "F.grid_sample(f(1, 0, 3, 3), f(1, 2, 2, 2), align_corners=False)",
        "x = f(1, 2, 4, 4); g = f(1, 3, 3, 2); o = F.grid_sample(x, g, align_corners=False); "
        "t.autograd.grad(o.square().sum(), x, create_graph=True)[0]",
    ],
)
def test_rows(row: str) -> None:
    agree(BEFORE + row, names="autograd" not in row)


@pytest.mark.parametrize(
    "row",
    [
        "F.grid_sample(f(2, 3, 4, 5), f(2, 6, 7, 2), mode='foo')",
        "F.grid_sample(f(2, 3, 4, 5), f(2, 6, 7, 2), padding_mode='foo')",
        "F.grid_sample(f(2, 3, 4, 5, 6), f(2, 3, 4, 5, 3), mode='bicubic', align_corners=False)",
        "F.grid_sample(f(2, 3, 4, 5), f(1, 6, 7, 2), align_corners=False)",
        "F.grid_sample(f(2, 3, 4, 5), f(2, 6, 7, 3), align_corners=False)",
        "F.grid_sample(f(2, 3, 4, 5), f(2, 6, 7, 7, 2), align_corners=False)",
        "F.grid_sample(f(2, 3, 0, 5), f(2, 6, 7, 2), align_corners=False)",
        "~ F.grid_sample(f(2, 3, 4, 5), h(2, 6, 7, 2), align_corners=False)",
        "~ F.grid_sample(f(2, 3, 4, 5).long(), f(2, 6, 7, 2).long(), align_corners=False)",
        "F.affine_grid(f(2, 2, 3), [3, 3, 4, 5], align_corners=False)",
        "F.affine_grid(f(2, 3, 4), [2, 3, 4, 5], align_corners=False)",
        "F.affine_grid(f(2, 2, 3), [2, 3, 4], align_corners=False)",
        "F.affine_grid(f(2, 2, 3), [2, 3, 0, 5], align_corners=False)",
        "F.affine_grid(f(2, 2, 3).long(), [2, 3, 4, 5], align_corners=False)",
        "F.interpolate(f(1, 3, 8, 9), size=4, mode='nearest', antialias=True)",
        "F.interpolate(f(1, 3, 8), size=4, mode='linear', antialias=True)",
        "F.interpolate(f(1, 3, 8, 9), size=4, mode='lanczos')",
        "~ F.interpolate(f(1, 3, 8, 9).long(), size=4, mode='bilinear')",
        "~ F.interpolate(f(1, 3, 8, 9).long(), size=4, mode='bicubic', antialias=True)",
    ],
)
def test_refused(row: str) -> None:
    refuse(("~ " if row.startswith("~ ") else "") + BEFORE + row.removeprefix("~ "))


def test_a_default_that_has_changed_is_told() -> None:
    image, grid = to_flambeau(torch.ones(1, 1, 2, 2)), to_flambeau(torch.zeros(1, 1, 1, 2))
    with pytest.warns(UserWarning, match="Default grid_sample and affine_grid behavior has changed"):
        ours_f.grid_sample(image, grid)


SIZES = [
    ((8, 9), (4, 5)),
    ((8, 9), (16, 20)),
    ((7, 5), (7, 5)),
    ((50, 40), (3, 40)),
    ((4, 4), (1, 1)),
    ((1, 1), (3, 4)),
]


@pytest.mark.parametrize("sizes", [SIZES[1:4], pytest.param([SIZES[0], *SIZES[4:]], marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "mode, align", [("bilinear", False), ("bilinear", True), ("bicubic", False), ("lanczos", False)]
)
def test_antialias(mode: str, align: bool, sizes: Any) -> None:
    for start, size in sizes:
        agree(
            f"F = t.nn.functional; F.interpolate(f(1, 2, {start[0]}, {start[1]}), {size}, None, '{mode}', {align}, None, True)"
        )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_antialias_by_factors(mode: str) -> None:
    for factor in ("0.33", "(0.4, 2.1)"):
        for again in (None, True):
            agree(f"t.nn.functional.interpolate(f(1, 2, 11, 13), None, {factor}, '{mode}', False, {again}, True)")


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_images_of_bytes(mode: str) -> None:
    """Processors with AVX2 compute in whole numbers, as we do; torch's other code is within one of it."""
    torch.manual_seed(3)
    tolerance = 0 if "AVX" in torch.backends.cpu.get_cpu_capability() else 1
    for antialias, align in itertools.product((True, False), (False, True)):
        if mode == "lanczos" and (align or not antialias):
            continue  # refused in both: tests/nn/test_edge_arguments.py
        for channels, (start, size) in itertools.product((1, 3), SIZES[:2]):
            image = torch.randint(0, 256, (1, channels, *start), dtype=torch.uint8)
            settings = {"size": size, "mode": mode, "align_corners": align, "antialias": antialias}
            expected = torch.nn.functional.interpolate(image, **settings).int()
            made = ours_f.interpolate(to_flambeau(image), **settings)
            same(made.int(), expected, rtol=0, atol=tolerance)
