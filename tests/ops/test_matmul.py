"""Products of matrices and vectors, against torch."""

from __future__ import annotations

import pytest

from support.rows import agree, refuse

ROWS = """
t.matmul(f(3), f(3))
t.matmul(f(2, 3), f(3))
t.matmul(f(3), f(3, 2))
t.matmul(f(2, 3), f(3, 4))
t.matmul(f(4, 2, 3), f(3))
t.matmul(f(3), f(4, 3, 2))
t.matmul(f(4, 2, 3), f(3, 2))
t.matmul(f(2, 3), f(4, 3, 2))
t.matmul(f(4, 1, 2, 3), f(5, 3, 2))
t.matmul(c(2, 3), c(3, 2))
t.matmul(f(0, 3), f(3, 2))
t.matmul(f(2, 0), f(0, 2))
t.matmul(h(8, 64), h(64, 8))
t.matmul(i([[1, 2], [3, 4]]), i([[5, 6], [7, 8]]))
f(2, 3) @ f(3, 2)
f(2, 3).mm(f(3, 2))
f(4, 2, 3).bmm(f(4, 3, 2))
f(2, 3).mv(f(3))
f(3).dot(f(3))
t.vdot(c(3), c(3))
t.inner(f(2, 3), f(4, 3))
t.inner(f(2, 3), f())
t.outer(f(2), f(3))
t.outer(f(2), i([1, 2]))
t.ger(f(2), f(3))
t.addmm(f(2), f(3, 4), f(4, 2))
t.addmm(f(3, 2), f(3, 4), f(4, 2), beta=0.5, alpha=2)
t.addmm(v([[nan]]), f(1, 2), f(2, 1), beta=0)
t.addmm(i([1, 2]), i([[1, 2]]), i([[1, 2], [3, 4]]), beta=2, alpha=3)
t.addmv(f(3), f(3, 4), f(4), beta=0.5, alpha=2)
t.addr(f(3, 4), f(3), f(4), beta=0.5, alpha=2)
t.addbmm(f(2, 2), f(3, 2, 4), f(3, 4, 2), beta=0.5, alpha=2)
t.baddbmm(f(2, 2), f(3, 2, 4), f(3, 4, 2), beta=0.5, alpha=2)
x = f(3, 2) * 2; x.addmm_(f(3, 4), f(4, 2), alpha=3); x
x = f(3) * 2; x.addmv_(f(3, 4), f(4)); x
t.linalg.multi_dot([f(2, 3), f(3, 4), f(4, 2)])
t.linalg.multi_dot([f(3), f(3, 4), f(4)])
t.chain_matmul(f(2, 3), f(3, 4), f(4, 2))
t.tensordot(f(2, 3), f(3, 2), 1)
t.tensordot(f(2, 3, 4), f(4, 3, 2), dims=([1, 2], [1, 0]))
t.tensordot(f(2, 3), f(2, 3), dims=0)
t.tensordot(f(2, 3), f(2, 3))
t.kron(f(2), f(2, 2))
t.kron(f(2, 3), f(3, 2))
"""

EINSUM = """
t.einsum("ij,jk->ik", f(2, 3), f(3, 2))
t.einsum("ij,jk", f(2, 3), f(3, 2))
t.einsum("ij,jk->ik", [f(2, 3), f(3, 2)])
t.einsum("...i,...i->...", f(2, 3), f(2, 3))
t.einsum("...i,...i", f(2, 3), f(2, 3))
t.einsum("...ij,...jk->...ik", f(5, 1, 2, 3), f(4, 3, 2))
t.einsum("Ab,bA", f(2, 3), f(3, 2))
t.einsum("ii->i", f(3, 3))
t.einsum("ii", f(3, 3))
t.einsum("ij->ji", f(2, 3))
t.einsum("ij->", f(2, 3))
t.einsum("b...->...b", f(2, 3, 4))
t.einsum("i...->i", f(2, 3, 4))
t.einsum("ij,kj->ik", f(1, 3), f(2, 1))
t.einsum("bij,bjk->bik", f(1, 2, 3), f(4, 3, 2))
t.einsum(f(2, 3), [0, 1], f(3, 2), [1, 2], [0, 2])
t.einsum(f(2, 3), [..., 1], f(3, 2), [1, 2], [..., 2])
t.einsum(f(2, 3), [0, 30], f(3, 2), [30, 2])
t.einsum(" i j , j k -> i k ", f(2, 3), f(3, 2))
t.einsum(",->", f(), f())
t.einsum("bn,anm,bm->ba", f(2, 3), f(5, 3, 4), f(2, 4))
t.einsum("i,j->ij", i([1, 2]), i([3, 4]))
"""

ERRORS = """
t.matmul(h(2, 3), h(4, 5))
t.matmul(h(2, 3), h(4))
t.matmul(h(3), h(4))
t.matmul(h(3), h(4, 4))
t.matmul(h(2, 2, 3), h(4))
~ t.matmul(h(4), h(2, 3, 2))
t.matmul(h(2, 2, 3), h(4, 2))
~ t.matmul(h(2, 3), h(2, 4, 2))
~ t.matmul(h(2, 2, 3), h(2, 4, 2))
t.matmul(h(2, 2, 3), h(3, 3, 2))
t.matmul(h(), h(2))
t.matmul(h(2, 2), f(2, 2))
t.matmul(h(2), f(2))
t.matmul(b([[True]]), b([[True]]))
h(2) @ 3
t.mm(h(2, 3), h(4, 5))
t.mm(h(2, 3), h(3))
t.mm(h(3), h(3, 2))
t.bmm(h(2, 3), h(3, 2))
~ t.bmm(h(2, 2, 3), h(2, 4, 2))
t.mv(h(2, 3), h(4))
t.dot(h(2), h(3))
t.dot(h(2, 2), h(2))
t.inner(h(2, 3), h(4, 2))
t.outer(h(2), h(3, 2))
t.addmm(h(3), h(2, 3), h(3, 2))
t.addmm(h(2), h(2, 3), h(4, 2))
t.addmm(h(2), h(2), h(4, 2))
t.addmm(h(2, 2), h(2, 3), f(3, 2))
t.addmv(h(3), h(2, 3), h(3))
t.addbmm(h(2, 2), h(3, 2, 4), h(2, 4, 2))
t.linalg.multi_dot([h(3)])
t.tensordot(h(2, 3), h(2, 2), ([1], [1]))
~ t.tensordot(h(2, 3), h(2, 2), -1)
~ t.tensordot(h(2, 3), h(2, 2), 5)
t.einsum("ij,jk->ik", h(2, 3), h(2, 2))
t.einsum("ij,jk->ik", h(2, 3))
t.einsum("ij->ikk", h(2, 3))
t.einsum("ij->ii", h(2, 3))
t.einsum("i1->i", h(2, 3))
t.einsum("ijk->i", h(2, 3))
t.einsum("ii", h(2, 3))
t.einsum("ij,j->i", h(2, 3), f(3))
"""


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_products(row: str) -> None:
    agree(row)


@pytest.mark.parametrize("row", EINSUM.strip().splitlines())
def test_einsum(row: str) -> None:
    agree(row, names=False)


@pytest.mark.parametrize("row", ERRORS.strip().splitlines())
def test_errors(row: str) -> None:
    refuse(row)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_dtypes(dtype: str) -> None:
    agree(f"t.matmul(h(4, 16).to(t.{dtype}), h(16, 4).to(t.{dtype}))")
