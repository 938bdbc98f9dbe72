"""Embeddings that round their weight while they train."""

from __future__ import annotations

from typing import Any, ClassVar

from .....core.tensor.tensor import Tensor
from .....nn import functional as F
from .....nn.modules import sparse as layers
from .....ops.making.quantized import per_channel_affine_float_qparams
from ._rounding import Rounded, give_copies, require_source, required

__all__ = ["Embedding", "EmbeddingBag"]


def _require_float_zeros(kind: str, qconfig: Any) -> None:
    found = qconfig.weight().qscheme
    if found != per_channel_affine_float_qparams:
        raise AssertionError(f"{kind} weights requires a qscheme of torch.per_channel_affine_float_qparams Got {found}")


class Embedding(layers.Embedding, Rounded):  # type: ignore[misc]
    """An embedding whose weight is rounded before it is used."""

    _FLOAT_MODULE: ClassVar[Any] = layers.Embedding

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Any = None, device: Any = None,
        dtype: Any = None, qconfig: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            device=device, dtype=dtype,
        )  # fmt: skip
        _require_float_zeros("Embedding", required(qconfig))
        self.qconfig = qconfig
        self.weight_fake_quant = qconfig.weight()

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(  # type: ignore[no-any-return]
            input, self.rounded(), self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains in the place of `mod`, with its weight. AssertionError without a `qconfig`."""
        require_source(cls, mod)
        _require_float_zeros("Embedding", mod.qconfig)
        return cls(
            mod.num_embeddings, mod.embedding_dim, mod.padding_idx, mod.max_norm, mod.norm_type, mod.scale_grad_by_freq,
            mod.sparse, mod.weight, qconfig=mod.qconfig,
        )  # fmt: skip

    def to_float(self) -> Any:
        """An embedding that doesn't round, with a copy of the weight."""
        made = layers.Embedding(
            self.num_embeddings, self.embedding_dim, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip
        return give_copies(made, self)


class EmbeddingBag(layers.EmbeddingBag, Rounded):  # type: ignore[misc]
    """Sums or means of embeddings, whose weight is rounded before it is used."""

    _FLOAT_MODULE: ClassVar[Any] = layers.EmbeddingBag

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Any = None,
        include_last_offset: bool = False, padding_idx: int | None = None, qconfig: Any = None, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, mode, sparse, _weight,
            include_last_offset, padding_idx, device=device, dtype=dtype,
        )  # fmt: skip
        _require_float_zeros("Embedding Bag", required(qconfig))
        self.qconfig = qconfig
        self.weight_fake_quant = qconfig.weight()

    def forward(self, input: Tensor, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        return F.embedding_bag(  # type: ignore[no-any-return]
            input, self.rounded(), offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains in the place of `mod`, with its weight. AssertionError without a `qconfig`."""
        require_source(cls, mod)
        _require_float_zeros("Embedding Bag", mod.qconfig)
        return cls(
            mod.num_embeddings, mod.embedding_dim, mod.max_norm, mod.norm_type, mod.scale_grad_by_freq, mod.mode, mod.sparse,
            mod.weight, mod.include_last_offset, mod.padding_idx, qconfig=mod.qconfig,
        )  # fmt: skip

    def to_float(self) -> Any:
        """A layer that doesn't round, with a copy of the weight."""
        made = layers.EmbeddingBag(
            self.num_embeddings, self.embedding_dim, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode,
            self.sparse, None, self.include_last_offset, self.padding_idx,
        )  # fmt: skip
        return give_copies(made, self)
