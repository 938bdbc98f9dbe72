"""Matrices with nan and inf: refused where PyTorch refuses them, nan where it gives nan; never a number, never a loop without end."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import flambeau as fb

NAN, INF = float("nan"), float("inf")
FUNCTIONS = {
    "svd": lambda t, a: t.linalg.svd(a),
    "svdvals": lambda t, a: t.linalg.svdvals(a),
    "older svd": lambda t, a: t.svd(a, compute_uv=False).S,
    "pinv": lambda t, a: t.linalg.pinv(a),
    "matrix_rank": lambda t, a: t.linalg.matrix_rank(a),
    "rank with a tolerance": lambda t, a: t.linalg.matrix_rank(a, tol=1e-3),
    "rank of a Hermitian matrix": lambda t, a: t.linalg.matrix_rank(a, hermitian=True),
    "cond": lambda t, a: t.linalg.cond(a),
    "cond -2": lambda t, a: t.linalg.cond(a, -2),
    "cond nuc": lambda t, a: t.linalg.cond(a, "nuc"),
    "matrix_norm 2": lambda t, a: t.linalg.matrix_norm(a, 2),
    "nuclear norm": lambda t, a: t.norm(a, "nuc", dim=(-2, -1)),
    "norm over two dimensions": lambda t, a: t.linalg.norm(a, -2, dim=(-1, -2)),
    "norm of another order": lambda t, a: t.linalg.matrix_norm(a, 1),
    "lstsq": lambda t, a: t.linalg.lstsq(a, a.real.to(a.dtype).nan_to_num(0, 0, 0)).rank,
    "lstsq gelsd": lambda t, a: t.linalg.lstsq(a, a.nan_to_num(0, 0, 0), driver="gelsd").rank,
    "eig": lambda t, a: t.linalg.eig(a),
    "eigh": lambda t, a: t.linalg.eigh(a),
    "eigvalsh": lambda t, a: t.linalg.eigvalsh(a),
    "upper eigh": lambda t, a: t.linalg.eigh(a, UPLO="U"),
}
# what depends on LAPACK's luck there; ours is nan, or the error that some such matrices have
LUCK = {"svd", "pinv", "lstsq", "lstsq gelsd"}


def matrix(t: Any, value: float, place: tuple[int, ...] | None, dtype: str) -> Any:
    a = t.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]], dtype=t.float64)
    if place is None:
        return t.full((3, 3), value, dtype=t.float64).to(getattr(t, dtype))
    a = t.stack([a, a.clone()]) if len(place) == 3 else a
    a[place] = value
    return a.to(getattr(t, dtype))


def outcome(t: Any, function: Any, a: Any) -> Any:
    try:
        made = function(t, a)
    except RuntimeError as error:
        text = re.sub(
            r"^false INTERNAL.*PyTorch\. |(illegal value|NaNs|values|code: \d+\))\.?.*$",
            r"\1",
            str(error).splitlines()[0],
        )
        return type(error).__name__, text
    parts = made if isinstance(made, tuple) else (made,)
    return [("nan" if p.isnan().any() else "number", tuple(p.shape), str(p.dtype)[-9:]) for p in parts]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_not_finite(name: str) -> None:
    compiled = fb.compile(lambda a: FUNCTIONS[name](fb, a))
    for dtype in ("float32", "complex128"):
        for place in ((0, 1), (2, 0), (1, 2, 0)):
            expected = outcome(torch, FUNCTIONS[name], matrix(torch, NAN, place, dtype))
            ours = matrix(fb, NAN, place, dtype)
            assert outcome(fb, FUNCTIONS[name], ours) == expected, (dtype, place)
            if dtype == "float32":
                assert outcome(fb, lambda _, a: compiled(a), ours) == expected, (dtype, place)
    for place in ((2, 0), None):
        made = outcome(fb, FUNCTIONS[name], matrix(fb, INF, place, "float64"))
        if name in LUCK:
            assert made == ("RuntimeError", "torch.linalg.lstsq: Argument 4 has illegal value") or name != "lstsq gelsd"
            assert name not in ("svd", "pinv") or {part[0] for part in made} == {"nan"}
        else:
            assert made == outcome(torch, FUNCTIONS[name], matrix(torch, INF, place, "float64")), place


def test_eigvals_of_what_is_not_finite_is_refused() -> None:
    for value in (NAN, INF):  # PyTorch's gives numbers, or ends the process
        with pytest.raises(
            RuntimeError, match=r"torch\.linalg\.eigvals: input tensor should not contain infs or NaNs\."
        ):
            fb.linalg.eigvals(matrix(fb, value, (0, 1), "float64"))
