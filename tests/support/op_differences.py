"""Where flambeau's operators differ from torch's on the samples of torch's tests, and where fewer digits agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Difference:
    """A known difference, for these dtypes (None: all) and samples. `what` it touches:

    "forward", "in-place", "gradient", "errors" or "all": nothing agrees there; "second gradient" is not compared;
    "values": only shapes and dtypes do, and gradients are not compared; "signs": only absolute values do, and gradients
    are not compared; "second": of several results the first agrees, of the others shapes and dtypes.
    """

    what: str
    reason: str
    dtypes: tuple[torch.dtype, ...] | None = None
    when: Callable[[Any], bool] | None = None

    def covers(self, what: str, dtype: torch.dtype | None, sample: Any) -> bool:
        if self.what not in (what, "all"):
            return False
        if self.dtypes is not None and dtype not in self.dtypes:
            return False
        return self.when is None or self.when(sample)


def _one_dimension(sample: Any) -> bool:
    one = isinstance(sample.kwargs.get("dim"), int) or len(sample.kwargs.get("s") or "ab") == 1
    return bool(one or sample.input.ndim == 1)


UNINITIALISED = "the values are whatever lay in memory"

DIFFERENCES: dict[str, tuple[Difference, ...]] = {
    **{
        name: (Difference("values", UNINITIALISED),)
        for name in ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")
    },
    "addbmm": (
        Difference("in-place", "torch lets addbmm_ change its tensor's shape", when=lambda s: s.input.ndim < 2),
    ),
    **{
        name: (Difference("second", "eigenvectors are told but for a factor of absolute value 1"),)
        for name in ("linalg.eig", "linalg.eigh")
    },
    **{
        name: (Difference("signs", "singular vectors are told but for a factor of absolute value 1"),)
        for name in ("pca_lowrank", "svd_lowrank")
    },
    "nn.functional.local_response_norm": (
        Difference("values", "torch averages the squares of integers in whole numbers", (torch.int64,)),
    ),
    "nn.functional.batch_norm": (
        Difference("forward", "torch takes an empty 1-D input", when=lambda s: s.input.ndim < 2),
    ),
    "istft": (
        Difference(
            "gradient",
            "torch's has no gradient for some windows beside complex spectra",
            (torch.complex128,),
            when=lambda s: s.kwargs.get("window") is not None,
        ),
    ),
    **{
        name: (Difference("out", "torch leaves `out=` as it was", when=_one_dimension),)
        for name in ("fft.ihfft2", "fft.ihfftn")
    },
    "chalf": (Difference("all", "there are no complex numbers of half precision"),),
    "max_pool2d_with_indices_backward": (
        Difference("gradient", "its derivative by the pooled tensor is none here, and zeros in torch"),
    ),
    "masked.logaddexp": (Difference("gradient", "torch's second is nan where both are masked out"),),
    "linalg.norm.subgradients_at_zero": (Difference("gradient", "torch's second is nan there"),),
    **{
        f"nn.functional.linear_cross_entropy.{name}": (
            Difference("second gradient", "torch has none of what it computes in chunks"),
        )
        for name in ("chunked", "chunked_none")
    },
    "as_strided_scatter": (Difference("gradient", "torch's passes where the input was overwritten, and nowhere else"),),
    "as_strided.partial_views": (
        Difference("all", "the samples are carried over by value, so what they are views of is lost"),
    ),
}

WHOLE_NUMBERS = (torch.int64, torch.bool)
TIES = "which of several equal elements is named is left open by torch"
for _name in ("topk", "kthvalue", "sort", "mode"):
    DIFFERENCES[_name] = (Difference("second", TIES, WHOLE_NUMBERS),)
DIFFERENCES["argsort"] = (Difference("values", TIES, WHOLE_NUMBERS),)

_CONVOLUTIONS = [f"nn.functional.conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
_POLYGAMMAS = ("special.polygamma.special_polygamma_n_0", *(f"polygamma.polygamma_n_{n}" for n in range(5)))
_BESSELS = [f"special.{name}" for name in ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1")]
_FOURIER = [f"fft.{i}{kind}fft{n}" for i in ("", "i") for kind in ("", "r", "h") for n in ("", "2", "n")]
LOOSER: dict[str, tuple[float, str]] = {  # relative and absolute tolerance in float64 (others in proportion), and why
    "matrix_exp": (1e-5, "torch chooses its Taylor polynomial by the norm, XLA a Pade approximant"),
    **dict.fromkeys(_CONVOLUTIONS, (1e-6, "long sums that nearly cancel keep few digits")),
    # measured in float32: ours and torch's are both within 2e-7 of the largest value, of the exact one
    **dict.fromkeys(_FOURIER, (1e-6, "long sums that nearly cancel keep few digits")),
    # measured in float32: torch's are within 1.7e-5 of the exact ones, ours within 1.1e-5
    "nn.functional.scaled_dot_product_attention": (1e-6, "exponentials of large scores keep few digits"),
    "nn.functional.multi_head_attention_forward": (1e-6, "exponentials of large scores keep few digits"),
    # measured in float64 with mpmath: torch's are within 2.1e-6 of the exact ones, ours within 1e-14
    **dict.fromkeys(_BESSELS, (3e-5, "torch's have the digits of float32")),
    **dict.fromkeys(_POLYGAMMAS, (1e-6, "near a pole torch divides by the sine of a large number")),
}
