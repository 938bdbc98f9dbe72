"""Functions of linear algebra that PyTorch has removed: they raise its error, which names what to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ...core.dispatch.operator import _attach, _publish

REMOVED = {
    "eig": "`torch.linalg.eig` returns complex tensors",
    "symeig": "torch.linalg.eigh(A, UPLO='U' if upper else 'L') looks at the lower triangle by default",
    "solve": "torch.linalg.solve(A, B) has its arguments the other way round and gives no factors",
    "lstsq": "torch.linalg.lstsq(A, B) has its arguments the other way round and gives the residuals apart",
    "matrix_rank": "torch.linalg.matrix_rank(A, hermitian=symmetric)",
}


def _gone(name: str, instead: str) -> Callable[..., NoReturn]:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"This function was deprecated since version 1.9 and is now removed. {name}: {instead}.")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed: {instead}. Raises RuntimeError."
    return function


for _name, _instead in REMOVED.items():
    _publish(_name, _gone(_name, _instead), ("torch",))
    if _name != "matrix_rank":
        _attach(_gone(_name, _instead), (_name,))
