"""Linear algebra, against torch. Vectors that are defined up to a sign are compared through products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau
from support.rows import agree, refuse

ROWS = """
t.det(f(3, 3))
t.linalg.det(f(2, 3, 3))
t.linalg.slogdet(f(3, 3))
t.logdet(s(3))
t.inverse(f(3, 3))
t.linalg.inv(f(2, 3, 3))
t.linalg.inv(c(3, 3))
t.linalg.solve(f(3, 3), f(3, 2))
t.linalg.solve(f(3, 3), f(3))
t.linalg.solve(f(2, 3, 3), f(2, 3))
t.linalg.solve(f(3, 3), f(2, 3), left=False)
t.linalg.solve_triangular(f(3, 3), f(3, 2), upper=True)
t.linalg.solve_triangular(f(3, 3), f(2, 3), upper=False, left=False, unitriangular=True)
t.linalg.cholesky(s(3))
t.linalg.cholesky(s(3), upper=True)
t.cholesky_solve(f(3, 2), t.linalg.cholesky(s(3)))
t.cholesky_inverse(t.linalg.cholesky(s(3), upper=True), upper=True)
t.cholesky_inverse(t.linalg.cholesky(s(3)))
t.cholesky_inverse(f(0, 0))
t.cholesky_inverse(f(0, 2, 2), upper=True)
t.cholesky_inverse(t.tril(f(2, 3, 3)))
t.linalg.qr(f(4, 3))
t.linalg.qr(f(3, 4))
t.linalg.svdvals(f(4, 3))
t.linalg.eigvalsh(s(3))
t.linalg.pinv(f(4, 3))
t.linalg.lu(f(3, 3))
t.linalg.lu_factor(f(3, 3))
t.triangular_solve(f(3, 2), f(3, 3))
t.linalg.matrix_exp(f(3, 3))
t.matrix_exp(f(2, 3, 3))
t.linalg.vector_norm(f(3, 4), 3)
t.linalg.matrix_norm(f(3, 4))
t.linalg.cross(f(2, 3), f(2, 3))
"""

UNNAMED = """
t.cholesky(s(3))
t.linalg.lstsq(f(4, 3), f(4, 2)).solution
t.linalg.norm(f(3, 4))
t.linalg.norm(f(3, 4), "nuc")
t.linalg.norm(f(3, 4), 2)
t.linalg.norm(f(3, 4), 1)
t.linalg.norm(f(3, 4), -inf)
t.linalg.norm(f(3, 4), 3, dim=1, keepdim=True)
t.linalg.matrix_norm(f(2, 3, 4), -2)
t.linalg.cond(f(3, 3))
t.linalg.cond(h(3, 3).double(), 1)
t.linalg.matrix_rank(v([[1.0, 2], [2, 4]]))
t.linalg.matrix_rank(s(3), hermitian=True)
t.linalg.matrix_power(f(3, 3), 3)
t.linalg.matrix_power(f(3, 3), -2)
t.matrix_power(f(3, 3), 0)
t.linalg.tensorinv(f(2, 3, 6))
t.linalg.tensorsolve(f(2, 3, 6), f(2, 3))
t.linalg.vecdot(c(2, 3), c(2, 3))
t.linalg.vander(h(3))
t.linalg.diagonal(f(3, 3))
u, x, y = t.linalg.svd(f(4, 3), full_matrices=False); (u * x) @ y, u @ u.mH
u, x, y = t.linalg.svd(f(3, 4)); (u * x) @ y[:3]
u, x, y = t.svd(f(4, 3)); (u * x.cos()) @ y.mH
x, y = t.linalg.eigh(s(3)); (y * x.sin()) @ y.mH
x, y = t.linalg.eig(f(3, 3)); t.view_as_real((y * (x * x)) @ t.linalg.inv(y))
x, y = t.linalg.eig(f(3, 3)); y.abs()
a = f(3, 3); x, y = t.linalg.lu_factor(a); t.linalg.lu_solve(x, y, f(3, 2))
a = f(3, 3); x, y = t.linalg.lu_factor(a); t.linalg.lu_solve(x, y, f(2, 3), left=False)
a = c(3, 3); x, y = t.linalg.lu_factor(a); t.linalg.lu_solve(x, y, c(3, 2), adjoint=True)
x, y = t.lu(f(3, 3)); t.lu_unpack(x, y)
"""

ERRORS = """
t.linalg.det(h(2, 3))
~ t.linalg.det(i([[1, 2], [3, 4]]))
t.linalg.inv(t.zeros(2, 2))
t.linalg.inv(h(2, 3))
t.linalg.inv(h(2))
t.linalg.solve(h(2, 2), h(3, 2))
t.linalg.solve(t.zeros(2, 2), h(2))
t.linalg.cholesky(-t.eye(2))
t.linalg.cholesky(t.tensor([[1.0, 2.0], [2.0, 1.0]]))
t.linalg.cholesky(h(2, 3))
t.linalg.eigh(h(2, 3))
~ t.linalg.norm(h(2, 2, 2), 2)
t.linalg.matrix_norm(h(2))
~ t.linalg.vector_norm(i([1, 2]))
"""


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_linalg(row: str) -> None:
    agree(row, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("row", UNNAMED.strip().splitlines())
def test_up_to_names(row: str) -> None:
    agree(row, names=False, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("row", ERRORS.strip().splitlines())
def test_errors(row: str) -> None:
    refuse(row)


@pytest.mark.parametrize("shape", ((0, 3), (3, 0), (2, 0, 3)))
def test_norms_of_nothing(shape):
    def told(lib):
        found, x = [], lib.zeros(*shape)
        for order in (1, -1, 2, -2, float("inf"), -float("inf"), "nuc"):
            for name, dim in (
                ("matrix_norm", (-2, -1)),
                ("vector_norm", (0, 1)),
                ("vector_norm", None),
                ("norm", None),
            ):
                if order == "nuc" and name == "vector_norm":
                    continue
                try:
                    found.append(getattr(lib.linalg, name)(x, order, dim=dim).tolist())
                except (RuntimeError, IndexError) as error:
                    found.append((type(error), str(error)))
        return found

    assert told(flambeau) == told(torch)


@pytest.mark.parametrize("shapes", [((30, 7), (40, 7)), ((2, 30, 7), (27, 7)), ((3, 1, 5), (1, 28, 5))])
def test_slopes_of_many_distances_are_torchs(shapes: Any) -> None:
    """Above 25 rows they are products of matrices; two rows are the same, so that their distance has no slope."""
    draw = np.random.default_rng(0)
    one, other = (draw.standard_normal(shape) for shape in shapes)
    other[..., 3, :] = one[..., :1, :].reshape(-1, one.shape[-1])[0]
    results = []
    for lib in (flambeau, torch):
        a, b = lib.tensor(one, requires_grad=True), lib.tensor(other, requires_grad=True)
        made = lib.cdist(a, b)
        slopes = lib.autograd.grad((made**2).sum() + made.sum(), [a, b])
        results.append([t.detach().numpy() for t in (made, *slopes)])
    ours, theirs = results
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-7, atol=1e-6)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_second_slopes_of_many_distances_are_those_of_differences() -> None:
    draw = np.random.default_rng(1)
    a, b = (flambeau.tensor(draw.standard_normal((n, 6)), requires_grad=True) for n in (30, 28))
    plain = lambda a, b: ((a[:, None] - b) ** 2).sum(-1).sqrt()  # noqa: E731
    found = []
    for distances in (flambeau.cdist, plain):
        slope = flambeau.autograd.grad((distances(a, b) ** 3).sum(), a, create_graph=True)[0]
        found.append([t.numpy() for t in flambeau.autograd.grad((slope**2).sum(), [a, b])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_the_operand_that_is_no_matrix_is_named():
    for shapes in (((3, 3), (3,)), ((3,), (3, 1)), ((3,), (3,))):
        told = []
        for lib in (torch, flambeau):
            with pytest.raises(RuntimeError) as caught:
                lib.linalg.solve_triangular(*map(lib.ones, shapes), upper=True)
            told.append(
                str(caught.value).partition("\n")[0].partition(" (inputs")[0].removeprefix("linalg_solve_triangular: ")
            )
        assert told[1] == told[0]
