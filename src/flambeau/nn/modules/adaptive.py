"""Softmax over many classes, the frequent ones first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...ops.making.creation import empty, tensor
from ...ops.shape.joining import cat
from ...ops.support.checks import host_values
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes that are sorted by frequency, and their mean negative (Grave et al., 2017).

    `cutoffs` cut the classes into a head, with an output each, and clusters, each with one output of the head and two linear
    layers of its own; the k-th cluster's inner size is `in_features / div_value ** k`. Called with `(N, in_features)` and
    `(N)`, or `(in_features)` and `()`, it gives a tuple of the targets' log-probabilities (`output`) and the `loss`.
    Only clusters with targets in the batch are computed, so that a function that calls this runs uncompiled. ValueError for
    cutoffs that do not rise between 1 and `n_classes - 1`.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError(message("cutoffs_empty"))
        rising = all(a < b for a, b in itertools.pairwise(cutoffs))
        if not rising or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1 or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                f"where each value is between 1 and n_classes-1 (got {cutoffs} for {n_classes} classes)"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs: list[int] = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size: int = self.cutoffs[0]
        self.n_clusters: int = len(self.cutoffs) - 1
        self.head_size: int = self.shortlist_size + self.n_clusters
        where = {"device": device, "dtype": dtype}
        self.head: Linear = Linear(in_features, self.head_size, bias=head_bias, **where)
        self.tail: ModuleList = ModuleList()
        for i in range(self.n_clusters):
            inner = int(in_features // div_value ** (i + 1))
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            projections = (Linear(in_features, inner, bias=False, **where), Linear(inner, classes, bias=False, **where))
            self.tail.append(Sequential(*projections))

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.head.reset_parameters()
        for projections in self.tail:
            for projection in projections.children():
                projection.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        self._check(input_, target_)
        single = target_.ndim == 0
        input, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if single else (input_, target_)
        places = host_values(target, "AdaptiveLogSoftmaxWithLoss")
        if places.size and not 0 <= places.min() <= places.max() < self.n_classes:
            last = self.n_classes - 1
            raise RuntimeError(
                f"Target values should be in [0, {last}], "
                f"but values in range [{places.min()}, {places.max()}] were found. "
            )
        clusters = [np.flatnonzero((places >= low) & (places < high)) for low, high in self._ranges()]
        columns, found = np.array(places), np.zeros(places.shape, np.int64)
        losses = [input.new_zeros(1)]  # what is added where the class is of no cluster
        for i, rows in enumerate(clusters):
            columns[rows] = self.shortlist_size + i
            if rows.size:
                found[rows] = sum(loss.shape[0] for loss in losses) + np.arange(rows.size)
                losses.append(self._within_cluster(i, rows, input, places))
        head = F.cross_entropy(self.head(input), tensor(columns, device=target.device), reduction="none")
        within = cat(losses).index_select(0, tensor(found, device=target.device))
        output = (-head).add(within, alpha=-1)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    def _ranges(self) -> list[tuple[int, int]]:
        """The classes of each cluster."""
        return list(zip(self.cutoffs, self.cutoffs[1:], strict=False))

    def _within_cluster(self, i: int, rows: np.ndarray, input: Tensor, places: np.ndarray) -> Tensor:
        """Minus the log-probabilities within the i-th cluster of the targets in these rows, and some numbers behind them.

        The number of rows is made a power of two, so that there are few different programs.
        """
        padded = np.resize(rows, 1 << (rows.size - 1).bit_length())
        classes = tensor(places[padded] - self.cutoffs[i], device=input.device)
        return F.cross_entropy(
            self.tail[i](input.index_select(0, tensor(padded, device=input.device))), classes, reduction="none"
        )

    def _check(self, input: Tensor, target: Tensor) -> None:
        if target.ndim == 1:
            if input.shape[0] != target.shape[0]:
                raise RuntimeError(
                    f"Input and target should have the same size in the batch dimension. "
                    f"(got {list(input.shape)} and {list(target.shape)})"
                )
            if input.ndim != 2:
                raise RuntimeError(
                    f"1D target tensor expects 2D input tensors, but found inputs with size {list(input.shape)}"
                )
        elif target.ndim == 0:
            if input.ndim != 1:
                raise RuntimeError(
                    f"0D target tensor expects 1D input tensors, but found inputs with size {list(input.shape)}"
                )
        else:
            raise RuntimeError(
                f"0D or 1D target tensor expected, multi-target not supported (got {list(target.shape)})"
            )

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: `(N, in_features)` to `(N, n_classes)`."""
        head = self.head(input)
        return self._get_full_log_prob(input, head)

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        out = empty((head_output.shape[0], self.n_classes), dtype=head_output.dtype, device=head_output.device)
        head = F.log_softmax(head_output, 1)
        out[:, : self.shortlist_size] = head[:, : self.shortlist_size]
        for i, (low, high) in enumerate(self._ranges()):
            within = F.log_softmax(self.tail[i](input), 1)
            out[:, low:high] = within + head[:, self.shortlist_size + i].unsqueeze(1)
        return out

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each sample: `log_prob(input).argmax(1)`, mostly without the clusters."""
        head = self.head(input)
        best = head.argmax(1)
        if bool((best < self.shortlist_size).all()):
            return best
        return self._get_full_log_prob(input, head).argmax(1)
