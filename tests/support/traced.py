"""A module for tests of tracing, of either library."""

from __future__ import annotations

from typing import Any


class Model:
    """A module with parameters, buffers, a list of layers and all kinds of arguments."""

    def __new__(cls, library: Any) -> Any:
        nn, functional = library.nn, library.nn.functional

        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.l = nn.Linear(3, 3)
                self.p = nn.Parameter(library.ones(3))
                self.register_buffer("b", library.zeros(3))
                self.seq = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

            def forward(self, x, y=None, *, k: int = 3):
                z = self.l(x) + self.p * 2 - self.b
                z = functional.relu(z).view(-1, 3)[:, 1:2, None]
                return {"a": z, "b": (z, self.seq(x))}

        M.forward.__annotations__["k"] = int  # this file's are texts
        return M()
