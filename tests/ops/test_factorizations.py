"""LDL, products with Householder reflections, least squares, eigenpairs, and names that PyTorch has retired, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import flambeau as fb
from support.expressions import check, check_gradient
from support.values import same, to_flambeau

A = torch.tensor([[4.0, 1, 2], [1, -3, 0.7], [2, 0.7, 0.5]], dtype=torch.float64)
B = torch.tensor([[1.0, 2], [3, 4], [5, 6]], dtype=torch.float64)
VALUES = {"A": A, "B": B, "H": torch.complex(A, A.tril(-1) - A.tril(-1).mT), "S": torch.complex(A, A * 0.3)}


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_ldl_has_the_pivots_of_lapack(kind: str, hermitian: bool) -> None:
    torch.manual_seed(0)
    for n in (1, 2, 7):
        for shift in (0.0, 3.0):  # without a diagonal, pivots come in pairs
            a = torch.randn(3, n, n, dtype=getattr(torch, kind)) * (1 - 0.97 * torch.eye(n)) + shift * torch.eye(n)
            a = a + (a.mH if hermitian else a.mT)
            theirs = torch.linalg.ldl_factor_ex(a, hermitian=hermitian)
            ours = fb.linalg.ldl_factor_ex(to_flambeau(a), hermitian=hermitian)
            assert ours.pivots.tolist() == theirs.pivots.tolist() and ours.info.tolist() == theirs.info.tolist()
            same(ours.LD, theirs.LD, rtol=1e-8)
            b = torch.randn(3, n, 2, dtype=a.dtype)
            x = fb.linalg.ldl_solve(ours.LD, ours.pivots, to_flambeau(b), hermitian=hermitian)
            same(to_flambeau(a) @ x, b, rtol=1e-7)


@pytest.mark.parametrize(
    "expression",
    """linalg.ldl_factor(A[:2]) | linalg.ldl_factor(A[0]) | linalg.ldl_factor(A.long()) | linalg.ldl_factor(torch.zeros(0, 0))
    linalg.ldl_factor_ex(A * 0) | linalg.ldl_solve(A, torch.tensor([1, 2, 3]), B) | linalg.ldl_solve(A, B[:, 0], B)
    linalg.ldl_solve(A, torch.tensor([1, 2]), B) | linalg.ldl_solve(A, torch.tensor([1, 2, 3]), B.float())
    linalg.ldl_solve(A, torch.tensor([1, 2, 3]), B[:2]) | linalg.ldl_solve(A, torch.tensor([1, 2, 3]), B[:, 0])
    linalg.ldl_solve(A, torch.tensor([1, 2, 3]), torch.stack([B, B])) | ormqr(A, B[:, 0], B) | ormqr(A, B[:, 0], B, transpose=True)
    ormqr(A, B[:, 0], B.T, False) | ormqr(A, B[:, 0], B.T, left=False, transpose=True) | ormqr(B, B[:2, 0], A) | ormqr(B, B[:2, 0], A, False)
    ormqr(S, S[0], H, transpose=True) | ormqr(A[0], B[0], B) | ormqr(A, B[0], B[0]) | ormqr(A, B[0], B[:2]) | ormqr(A, B[:, 0], B.float())
    ormqr(A, B[:, 0].float(), B) | ormqr(torch.stack([A, A]), B[:, 0], B) | ormqr(A.long(), B[:, 0].long(), B.long())
    geqrf(torch.zeros(3, 0)) | linalg.householder_product(torch.zeros(3, 2), torch.zeros(0)) | linalg.lstsq(B, A)
    linalg.lstsq(B, A, driver='gels') | linalg.lstsq(B, A, driver='gelsd') | linalg.lstsq(B, A, driver='gelss') | linalg.lstsq(B, A, driver='foo')
    linalg.lstsq(B.T, B[:2]) | linalg.lstsq(A[0], A) | linalg.lstsq(A, A[0, 0]) | linalg.lstsq(A, B.float()) | linalg.lstsq(B * 0, A)
    linalg.lstsq(A[:, [0, 0]], B, driver='gelsd') | linalg.lstsq(torch.stack([B, B]), A[:2]) | linalg.lstsq(A, B[:, 0])
    linalg.lstsq(torch.stack([B, B]), torch.stack([A, A]), driver='gels') | linalg.lu_factor_ex(A * 0) | linalg.lu_factor_ex(torch.stack([A, A * 0]))
    linalg.lu_factor_ex(A[:2]) | _lu_with_info(A) | eig(A) | symeig(A) | solve(B, A) | lstsq(B, A) | matrix_rank(A)""".replace(
        "\n", "|"
    ).split("|"),
)
def test_against_torch(expression: str) -> None:
    check("torch." + expression.strip(), VALUES)


@pytest.mark.parametrize("name", ["eig", "symeig", "solve", "lstsq"])
def test_retired_methods(name: str) -> None:
    check(f"A.{name}(A)", VALUES, words=12)


@pytest.mark.parametrize("dim", ["[0, 1]", "0", "[]", "[0, 1, 2]", "[0, 0]", "(0, 2), keepdim=True", "(0, 2), True"])
def test_old_norms(dim: str) -> None:
    for x in ("A[None]", "S[None]", "A"):
        check(f"torch.frobenius_norm({x}, {dim})", VALUES, words=3)
        check(f"torch.nuclear_norm({x}, {dim})", VALUES, words=2)
    check("torch.nuclear_norm(A), torch.nuclear_norm(A, True), torch.nuclear_norm(A[None])", VALUES)


def test_lu_is_told_to_be_old() -> None:
    with pytest.warns(UserWarning, match="torch.lu is deprecated in favor of torch.linalg.lu_factor"):
        made = fb.lu(to_flambeau(A), get_infos=True)
    assert type(made).__name__ == "_lu_with_info"


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_gradients_of_ormqr(left: bool, transpose: bool) -> None:
    other = B if left else B.T.contiguous()
    check_gradient(f"torch.ormqr(a, t, c, {left}, {transpose})", {"a": A, "t": B[:, 0].contiguous(), "c": other})


def test_ldl_has_no_derivative() -> None:
    made = fb.linalg.ldl_factor_ex(to_flambeau(A).requires_grad_())
    with pytest.raises(RuntimeError, match="derivative for aten::linalg_ldl_factor_ex is not implemented"):
        made.LD.sum().backward()


def test_lobpcg() -> None:
    torch.manual_seed(1)
    m = torch.randn(2, 14, 14, dtype=torch.float64)
    a, b = m + m.mT, m @ m.mT + torch.eye(14)
    for options in ({"k": 3}, {"k": 2, "largest": False}, {}, {"k": 2, "B": b}):
        theirs, _ = torch.lobpcg(a, niter=400, tol=1e-10, **options)
        given = {k: to_flambeau(v) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        values, vectors = fb.lobpcg(to_flambeau(a), **given)
        same(values, theirs, rtol=1e-6)
        right = to_flambeau(b) @ vectors if "B" in options else vectors
        np.testing.assert_allclose((to_flambeau(a) @ vectors).numpy(), (right * values[:, None]).numpy(), atol=1e-9)
    check("torch.lobpcg(A, k=2)", VALUES)
    with pytest.raises(NotImplementedError, match="tracker"):
        fb.lobpcg(to_flambeau(a), tracker=print)


SINGULAR = [
    lambda t: t.vmap(t.linalg.cholesky)(t.stack([t.eye(2), -t.eye(2)])),
    lambda t: t.vmap(t.linalg.inv)(t.stack([t.eye(2), t.zeros(2, 2)])),
    lambda t: t.vmap(lambda a: t.linalg.solve(a, t.ones(2)))(t.stack([t.eye(2), t.zeros(2, 2)])),
    lambda t: t.linalg.inv(t.stack([t.eye(2), t.zeros(2, 2)])),
    lambda t: t.linalg.inv(t.zeros(2, 2)),
]


@pytest.mark.parametrize("code", SINGULAR)
def test_the_element_of_a_batch_is_told_under_vmap_too(code) -> None:
    texts = []
    for t in (fb, torch):
        with pytest.raises(t.linalg.LinAlgError) as error:
            code(t)
        texts.append(str(error.value))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_what_a_failed_cholesky_factorization_leaves(kind: str, upper: bool) -> None:
    """Trust-region methods read the columns before the pivot that is not positive."""
    torch.manual_seed(1)
    for n in (2, 5):
        a = torch.randn(4, n, n, dtype=getattr(torch, kind))
        a = a @ a.mH + torch.tensor([0.0, -0.2, -0.5, -1])[:, None, None] * n * torch.eye(n)
        mine, theirs = to_flambeau(a).requires_grad_(), a.clone().requires_grad_()
        ours = fb.linalg.cholesky_ex(mine, upper=upper)
        expected = torch.linalg.cholesky_ex(theirs, upper=upper)
        assert expected.info.any() and ours.info.tolist() == expected.info.tolist()
        same(ours.L, expected.L, rtol=1e-8)
        # a matrix that failed and whose result is not used has no part in the gradient
        fb.where(ours.info[:, None, None] == 0, ours.L, 0.0).abs().sum().backward()
        torch.where(expected.info[:, None, None] == 0, expected.L, 0.0).abs().sum().backward()
        same(mine.grad, theirs.grad, rtol=1e-8)
