"""Small layers and parametrizations, of either library, for the tests of computed tensors."""

from __future__ import annotations


def lin(t, i=3, o=3, **k):
    t.manual_seed(0)
    return t.nn.Linear(i, o, **k)


def P(t):
    return t.nn.utils.parametrize


def sym(t):
    class Symmetric(t.nn.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).transpose(-1, -2)

        def right_inverse(self, A):
            return A.triu()

    return Symmetric()


def skew(t):
    class Skew(t.nn.Module):
        def forward(self, X):
            A = X.triu(1)
            return A - A.transpose(-1, -2)

    return Skew()


def double(t):
    class Twice(t.nn.Module):
        def forward(self, X):
            return 2 * X

        def right_inverse(self, A):
            return A / 2

    return Twice()


def mod(t, forward=None, inv=None):
    class Mod(t.nn.Module):
        pass

    if forward:
        Mod.forward = forward
    if inv:
        Mod.right_inverse = inv
    return Mod()


def reg(t, m, p, name="weight", **k):
    return P(t).register_parametrization(m, name, p, **k)


def lowrank(t):
    class RankOne(t.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, Y):
            U, S, Vh = t.linalg.svd(Y, full_matrices=False)
            s0 = S[..., 0].sqrt().unsqueeze(-1)
            return U[..., :, 0] * s0, Vh[..., 0, :] * s0

    return RankOne()
