"""`torch.masked`: its functions and `MaskedTensor`, against torch. (Values of the functions: ops/test_op_db.py.)"""

from __future__ import annotations

import inspect
import re
import warnings

import pytest
import torch

import flambeau as fb
import flambeau.masked  # loaded when it is first asked for
from support.values import same, to_flambeau

X = torch.arange(6.0).view(2, 3)
M = torch.tensor([[True, False, True], [False, True, True]])

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch.masked


def _scope(library: object) -> dict:
    x, m = (X.clone(), M.clone()) if library is torch else (to_flambeau(X), to_flambeau(M))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = library.masked.masked_tensor(x, m)
        second = library.masked.masked_tensor(x + 1, m)
    return {"torch": library, "x": x, "m": m, "a": first, "b": second, "masked_tensor": library.masked.masked_tensor}


EXPRESSIONS = """a | masked_tensor(x[0], m[0]) | masked_tensor(torch.tensor(1.0), torch.tensor(False)) | masked_tensor(x.long(), m)
masked_tensor(x[None], m[None]) | masked_tensor(x, m[0]) | masked_tensor(x, m.long()) | masked_tensor(x > 1, m)
torch.masked.as_masked_tensor(x, m) | a.get_data() | a.get_mask() | a.to_tensor(-1.0) | torch.masked.is_masked_tensor(a)
torch.masked.is_masked_tensor(x) | a + b | a + 1 | a + x | x + a | a * 2 | 2 * a | a + masked_tensor(x, ~m) | a.sin() | torch.exp(b.log())
a.sum() | a.sum(0) | a.sum(dim=1) | a.sum(1, keepdim=True) | a.mean() | a.mean(0) | a.amax(0) | a.amin(1) | a.amax() | a.prod(1)
a.var(1) | a.std(1) | a.all() | torch.sum(a, 1) | a.sqrt() | -a | a == b | a < b | a.shape | a.dtype | a[0] | a[0, 1] | a[:, 1]
a.view(3, 2) | a.reshape(6) | a.t() | a.transpose(0, 1) | a.unsqueeze(0) | a.expand(2, 2, 3) | a.clone() | a.to(torch.float64)
a.is_sparse | a.matmul(b) | torch.cat([a, b]) | torch.stack([a, b]) | a.masked_fill(m, 0) | a.softmax(0) | torch.where(m, a, b)
a.add_(1) | torch.ones_like(a) | a.numpy() | a.tolist() | a.requires_grad | a.pow(2) | a ** 2 | a / b | a.clamp(0, 1) | a.chunk(2)
a.flatten() | len(a) | torch.nan_to_num(a) | a.isnan() | torch.logaddexp(a, b) | torch.maximum(a, b) | a.unfold(0, 1, 1)
torch.masked.sum(a, 1) | torch.masked.mean(x, 1, mask=m) | torch.masked.sum(a, 1, mask=m[:1]) | torch.masked.sum(x, mask=m[None])
torch.masked.softmax(a, 1) | torch.masked.mean(x, mask=m[0]) | torch.masked.sum(x, (0, 0)) | torch.masked.sum(x, 3)""".replace(
    "\n", "|"
)


def _tried(library: object, expression: str) -> tuple:
    scope = _scope(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(expression, scope), None
        except Exception as error:
            return None, error


@pytest.mark.parametrize("expression", [e.strip() for e in re.split(r"(?<!\|)\|(?!\|)", EXPRESSIONS)])
def test_against_torch(expression: str) -> None:
    (ours, mine), (theirs, error) = _tried(fb, expression), _tried(torch, expression)
    assert type(mine) is type(error), f"{mine!r}, torch has {error!r}"
    if error is None:
        figures = re.compile(r"\d+\.\d{3}(\d)")  # the last digit may be rounded otherwise
        assert type(ours).__name__ == type(theirs).__name__
        assert figures.sub("#", repr(ours)) == figures.sub("#", repr(theirs))
    elif not isinstance(error, TypeError):
        assert str(mine)[:20] == str(error)[:20]


def test_signatures() -> None:
    assert fb.masked.__all__ == sorted(torch.masked.__all__)
    for name in fb.masked.__all__:
        ours, theirs = (inspect.signature(getattr(space.masked, name)).parameters for space in (fb, torch))
        assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()], name


def test_gradients_are_zero_where_the_mask_leaves_out() -> None:
    leaf = fb.masked.masked_tensor(to_flambeau(X), to_flambeau(M), requires_grad=True)
    (leaf * leaf).sum().backward()
    same(leaf.grad, 2 * X * M, rtol=1e-6)
    x = to_flambeau(X).requires_grad_()
    fb.masked.var(x, 1, mask=to_flambeau(M)).sum().backward()
    assert x.grad[0, 1] == 0 and x.grad[1, 0] == 0 and x.grad[0, 0] == -2
