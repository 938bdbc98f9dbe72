"""Parametrizations of weights: orthogonal matrices, weights of spectral norm 1, direction and length apart."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import numpy as np

from ...core.context.grad_mode import no_grad
from ...core.dispatch.help import explain_namespace as _explain
from ...core.tensor.tensor import Tensor
from ...ops.elementwise.comparison import allclose
from ...ops.layers.weight_norm import _weight_norm, norm_except_dim
from ...ops.linalg.householder import geqrf, householder_product
from ...ops.linalg.matrices import matrix_exp, solve
from ...ops.linalg.products import vdot
from ...ops.making.ranges import eye
from ...ops.random.factories import randn
from ...ops.shape.joining import cat
from ...ops.shape.rearranging import diag_embed
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module
from . import parametrize

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _is_orthogonal(Q: Any, eps: float | None = None) -> bool:
    """Whether the columns are orthonormal, within 10 steps of the dtype per row."""
    n, k = Q.shape[-2:]
    identity = eye(k, dtype=Q.dtype, device=Q.device)
    if eps is None:
        eps = 10.0 * n * float(np.finfo(Q._np_dtype).eps)
    return bool(allclose(Q.mH @ Q, identity, atol=eps))


def _make_orthogonal(A: Any) -> Tensor:
    """The Q of a QR factorization of a tall matrix whose R has a positive diagonal."""
    a, tau = geqrf(A)
    Q: Any = householder_product(a, tau)
    return Q * a.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _OrthMaps(Enum):
    matrix_exp = auto()
    cayley = auto()
    householder = auto()


class _Orthogonal(Module):
    """Any matrix to one with orthonormal columns (or rows, if it has fewer of them).

    What is below the diagonal (a skew-symmetric matrix `A`) goes through `exp(A)`, through Cayley's map
    `(I + A/2)^-1 (I - A/2)`, or is taken as Householder's reflections. With `use_trivialization` the result is multiplied by
    a fixed orthogonal matrix `base`, which is chosen anew when a value is assigned (Lezcano Casado, 2019).
    """

    base: Any

    def __init__(self, weight: Any, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True):
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Tensor:
        """Shapes: `(*, n, k)` to the same."""
        if self._buffers.get("base", self) is None:
            raise TypeError(
                "unsupported operand type(s) for @: 'NoneType' and 'Tensor': this parametrization has no base yet, since "
                "no matrix could be assigned to it (it is the second one of a tensor, or the dtype has no QR)"
            )
        flat = X.shape[-2] < X.shape[-1]
        if flat:
            X = X.mT
        Q = self._reflected(X) if self.orthogonal_map is _OrthMaps.householder else self._mapped(X)
        if "base" in self._buffers:
            Q = self.base @ Q
        return Q.mT if flat else Q

    def _mapped(self, X: Any) -> Any:
        n, k = X.shape[-2:]
        X = X.tril()
        if n != k:
            X = cat([X, X.new_zeros(*X.shape[:-1], n - k)], -1)
        A = X - X.mH
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            Q = matrix_exp(A)
        else:
            identity = eye(n, dtype=A.dtype, device=A.device)
            Q = solve(identity + A / -2, identity + A / 2)
        return Q[..., :k]

    def _reflected(self, X: Any) -> Any:
        below = X.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (below * below).sum(dim=-2))
        return householder_product(below, tau) * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    def right_inverse(self, Q: Any) -> Tensor:
        """What gives `Q`, or the nearest thing to it by a QR factorization if it is not orthogonal.

        ValueError for another shape than the weight's. NotImplementedError without trivialization, but for reflections.
        """
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape!s}. Got a tensor of shape {Q.shape}."
            )
        flat = Q.shape[-2] < Q.shape[-1]
        if flat:
            Q = Q.mT
        X = self._rebased(Q) if "base" in self._buffers else self._reflections(Q)
        return X.mT if flat else X

    def _rebased(self, Q: Any) -> Any:
        n, k = Q.shape[-2:]
        if n != k:
            Q = cat([Q, randn(*Q.shape[:-2], n, n - k, dtype=Q.dtype, device=Q.device)], -1)
        self.base = _make_orthogonal(Q) if n != k or not _is_orthogonal(Q) else Q.clone()
        return -eye(n, k, dtype=Q.dtype, device=Q.device).expand(*Q.shape[:-2], n, k).clone()

    def _reflections(self, Q: Any) -> Any:
        if self.orthogonal_map is not _OrthMaps.householder:
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False."
            )
        a, tau = geqrf(Q)
        kept = a.diagonal(dim1=-2, dim2=-1).sign() * (1 - 2 * (tau == 0).to(a.dtype))  # where tau is 0 forward reflects
        k = a.shape[-1]
        square = a[..., :k, :]
        square = square.tril(-1) + square.triu(1) + diag_embed(kept)
        return cat([square, a[..., k:, :]], -2)


def _found(module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module!s}' has no parameter or buffer with name '{name}'")
    return weight


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep a weight orthogonal (its columns, or rows if it has fewer of them, orthonormal); returns the module.

    `orthogonal_map` is "matrix_exp" (the default for square and complex matrices), "cayley" or "householder" (the default
    otherwise). Dimensions before the last two are a batch. ValueError if there is no such weight, or no such map.
    """
    weight = _found(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    made = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)


# --- weight normalization ---------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    """Lengths and directions to a weight: `g * v / |v|`."""

    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """Shapes: `weight_g` like `weight_v` with size 1 but at `dim`."""
        return _weight_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The weight's norms, and the weight."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn a weight's lengths apart from its direction (Salimans & Kingma, 2016); returns the module.

    There is a length for each index along `dim`, or one for all if that is None. They become
    `parametrizations.weight.original0`, the weight itself `...original1`; state dicts of the older `nn.utils.weight_norm`
    can be loaded. ValueError if there is no such weight.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *_: Any) -> None:
        old = [f"{prefix}{name}_{part}" for part in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# --- spectral normalization -------------------------------------------------------------------------------------------


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which power iteration finds (Miyato et al., 2018).

    In training each call makes `n_power_iterations` steps. A vector is divided by its norm.
    """

    _u: Any
    _v: Any

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._reshape_weight_to_matrix(weight)
            for vector, size in zip(("_u", "_v"), matrix.shape, strict=True):
                self.register_buffer(vector, self._unit(matrix.new_empty(size).normal_(0, 1)))
            self._power_method(matrix, 15)

    def _unit(self, vector: Any) -> Any:
        return vector / vector.norm().clamp_min(self.eps)

    def _reshape_weight_to_matrix(self, weight: Any) -> Any:
        return weight.movedim(self.dim, 0).flatten(1)

    def _power_method(self, weight_mat: Any, n_power_iterations: int) -> None:
        with no_grad():
            u, v = self._u, self._v
            for _ in range(n_power_iterations):
                u = self._unit(weight_mat @ v)
                v = self._unit(weight_mat.mH @ u)
            self._u.copy_(u)
            self._v.copy_(v)

    def forward(self, weight: Any) -> Tensor:
        """The weight, in its shape, with spectral norm 1."""
        if weight.ndim == 1:
            return self._unit(weight)
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / vdot(u, (matrix @ v).to(u.dtype))  # autocast makes products of a lower precision

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself: what is assigned counts as normalized already."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value (Miyato et al., 2018); returns the module.

    The weight counts as a matrix whose rows are the indices along `dim` (default: 1 for transposed convolutions, else 0).
    ValueError if there is no such weight, IndexError if there is no such dimension.
    """
    weight = _found(module, name)
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


_explain(globals(), "torch.nn.utils.parametrizations")
